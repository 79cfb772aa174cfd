"""How a run is cut: chunks of images, prefixes of votes, blocks of noise."""

from rsbench.data.subset import indices_of
from rsbench.records import Chunk
from rsbench.specs import CertificationSpec

# Copies that share one keyed stream. Every prefix ends with a block, so that the first votes of a run with a larger n
# are the votes of a run with a smaller one.
BLOCK = 100


def vote_prefixes(n_estimate: int) -> tuple[int, ...]:
    """The values of n at which a run's votes are stored, declared beforehand: powers of ten from 100, and n itself."""
    prefixes = []
    power = BLOCK
    while power < n_estimate:
        prefixes.append(power)
        power *= 10
    return (*prefixes, n_estimate)


def spec_prefixes(spec: CertificationSpec) -> tuple[int, ...]:
    """The prefixes of a run: an enumerated measure has its L votes and no prefix of them."""
    return (spec.passes_per_image,) if spec.budget is None else vote_prefixes(spec.budget.n_estimate)


def default_chunk_images(chunk_passes: int, passes_per_image: int) -> int:
    """Images of one chunk of about `chunk_passes`: at least one, at most 50."""
    return max(1, min(50, chunk_passes // passes_per_image))


def cut(spec: CertificationSpec) -> list[Chunk]:
    """All chunks of a run, in order: they depend on the spec alone, never on workers or on what is missing."""
    indices = indices_of(spec.images)
    size = spec.chunk_images
    return [Chunk(number, indices[i : i + size]) for number, i in enumerate(range(0, len(indices), size))]
