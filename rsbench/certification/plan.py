"""How a run is divided: chunks of images, batches of their noisy copies, prefixes of votes.

Nothing here imports torch.
"""

import math
from collections.abc import Container, Iterator, Sequence
from typing import overload

from rsbench.data.subset import indices_of
from rsbench.records import Chunk
from rsbench.specs import CertificationSpec

_SMALLEST_PREFIX = 100
_BATCHES_PER_CHUNK = 64
# More images would be lost with a worker, and a run of a few thousand images would have too few chunks to share out.
_MAX_CHUNK_IMAGES = 500


def vote_prefixes(n_estimate: int) -> tuple[int, ...]:
    """Return the values of n at which the votes of a run are stored: powers of ten from 100 on, and `n_estimate`.

    They are fixed before the run, so that no n is chosen by looking at its result.
    """
    prefixes = []
    power = _SMALLEST_PREFIX
    while power < n_estimate:
        prefixes.append(power)
        power *= 10
    return (*prefixes, n_estimate)


def spec_prefixes(spec: CertificationSpec) -> tuple[int, ...]:
    """Return the values of n at which the estimation votes of a run are stored. An exact run has one: all L splits."""
    return (spec.passes_per_image,) if spec.budget is None else vote_prefixes(spec.budget.n_estimate)


def default_chunk_images(batch_size: int, passes_per_image: int) -> int:
    """Return how many images a chunk has: as many as fill 64 batches, at least 1 and at most 500.

    At most 1.6 % of the forward passes then pad the last batch of a chunk, unless 500 images fill only a few batches.
    """
    return max(1, min(_MAX_CHUNK_IMAGES, _BATCHES_PER_CHUNK * batch_size // passes_per_image))


class Chunks(Sequence[Chunk]):
    """All chunks of a run, in order. A chunk is created on access, because a run can have a million of them."""

    def __init__(self, indices: Sequence[int], chunk_images: int) -> None:
        self._indices, self._chunk_images = indices, chunk_images

    def __len__(self) -> int:
        return -(-len(self._indices) // self._chunk_images)

    @overload
    def __getitem__(self, position: int) -> Chunk: ...
    @overload
    def __getitem__(self, position: slice) -> list[Chunk]: ...
    def __getitem__(self, position: int | slice) -> Chunk | list[Chunk]:
        numbers = range(len(self))[position]
        return self._chunk(numbers) if isinstance(numbers, int) else [self._chunk(number) for number in numbers]

    def _chunk(self, number: int) -> Chunk:
        start = number * self._chunk_images
        return Chunk(number, tuple(self._indices[start : start + self._chunk_images]))


def all_chunks(spec: CertificationSpec) -> Chunks:
    """Return the chunks of a run. They depend on the specification alone, not on the workers or on what is missing."""
    return Chunks(indices_of(spec.images), spec.chunk_images)


def missing_chunks(spec: CertificationSpec, done: Container[int]) -> Iterator[Chunk]:
    """Yield the chunks of a run whose images are not in `done`, which contains image indices.

    A chunk is written in one transaction, so its first image decides.
    """
    return (chunk for chunk in all_chunks(spec) if chunk.indices[0] not in done)


def batch_count(spec: CertificationSpec, images: int) -> int:
    """Return how many batches the noisy copies of a chunk of that many images fill, its padded last batch included."""
    return math.ceil(images * spec.passes_per_image / spec.batch_size)
