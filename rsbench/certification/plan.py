"""How a run is cut: chunks of images, batches of their noisy copies, prefixes of votes."""

import math
from collections.abc import Container, Iterator, Sequence
from typing import overload

from rsbench.data.subset import indices_of
from rsbench.records import Chunk
from rsbench.specs import CertificationSpec

_FIRST_PREFIX = 100
_BATCHES = 64
_MOST_IMAGES = 500


def vote_prefixes(n_estimate: int) -> tuple[int, ...]:
    """The values of n at which a run's votes are stored, declared beforehand: powers of ten from 100, and n itself."""
    prefixes = []
    power = _FIRST_PREFIX
    while power < n_estimate:
        prefixes.append(power)
        power *= 10
    return (*prefixes, n_estimate)


def spec_prefixes(spec: CertificationSpec) -> tuple[int, ...]:
    """The prefixes of a run: an enumerated measure has its L votes and no prefix of them."""
    return (spec.passes_per_image,) if spec.budget is None else vote_prefixes(spec.budget.n_estimate)


def default_chunk_images(batch_size: int, passes_per_image: int) -> int:
    """Images of one chunk: as many as fill 64 batches, at least one, at most 500.

    So at most 1.6 % of the passes fill up a chunk's last batch, unless 500 images fill few batches.
    """
    return max(1, min(_MOST_IMAGES, _BATCHES * batch_size // passes_per_image))


class Chunks(Sequence[Chunk]):
    """All chunks of a run, in order: each is made when it is asked for, as a run may have a million."""

    def __init__(self, indices: Sequence[int], size: int) -> None:
        self._indices, self._size = indices, size

    def __len__(self) -> int:
        return -(-len(self._indices) // self._size)

    @overload
    def __getitem__(self, which: int) -> Chunk: ...
    @overload
    def __getitem__(self, which: slice) -> list[Chunk]: ...
    def __getitem__(self, which: int | slice) -> Chunk | list[Chunk]:
        numbers = range(len(self))[which]
        return self._chunk(numbers) if isinstance(numbers, int) else [self._chunk(number) for number in numbers]

    def _chunk(self, number: int) -> Chunk:
        start = number * self._size
        return Chunk(number, tuple(self._indices[start : start + self._size]))


def cut(spec: CertificationSpec) -> Chunks:
    """All chunks of a run: they depend on the spec alone, never on workers or on what is missing."""
    return Chunks(indices_of(spec.images), spec.chunk_images)


def missing_chunks(spec: CertificationSpec, done: Container[int]) -> Iterator[Chunk]:
    """The chunks of a run of which no image is done. A chunk is written whole, so its first image tells."""
    return (chunk for chunk in cut(spec) if chunk.indices[0] not in done)


def batches_of(spec: CertificationSpec, images: int) -> int:
    """Batches that the noisy copies of a chunk of so many images fill; the last may be filled up."""
    return math.ceil(images * spec.passes_per_image / spec.batch_size)
