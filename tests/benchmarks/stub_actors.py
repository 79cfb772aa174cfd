"""Actors that return prepared votes at once, for the benchmark of scale: many handles of a few real processes.

Shapes: N images, R rows of votes, K classes, C channels, H height, W width.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any, cast

import numpy as np
import ray
from ray.actor import ActorHandle

from rsbench.certification.plan import batch_count
from rsbench.certification.voting import CertificationWork
from rsbench.cluster.actor import VotingActor
from rsbench.cluster.scheduler import CountChunks, vote_counting
from rsbench.data.dataset import ImageDataset, Pixels
from rsbench.records import Chunk, ChunkVotes, DatasetInfo, Votes
from rsbench.specs import CertificationSpec

PROCESSES = 2
# Votes of an image: n0, then what each prefix of n adds.
INCREMENTS = (100, 100, 900, 9_000, 90_000)
PREFIXES = (100, 1_000, 10_000, 100_000)
CLASSES = 10
SHAPE_CHW = (3, 32, 32)
# How many different images the dataset repeats.
DISTINCT_IMAGES = 4_096


class ManyImages(ImageDataset):
    """A dataset of any size that repeats a few images."""

    default_architecture = "mlp"
    normalisation = ((0.5,) * 3, (0.25,) * 3)

    def __init__(self, images: int) -> None:
        name = f"{images} images"
        fingerprint = hashlib.sha256(name.encode()).hexdigest()
        self.info = DatasetInfo(name, fingerprint, images=images, classes=CLASSES, shape=SHAPE_CHW, q=255)
        self.labels_N = np.arange(images) % CLASSES
        self._pixels_NCHW = np.random.default_rng(0).integers(0, 256, (DISTINCT_IMAGES, *SHAPE_CHW), dtype=np.uint8)

    def _load(self, indices: Sequence[int]) -> Pixels:
        pixels_NCHW: Pixels = self._pixels_NCHW[np.array(indices) % DISTINCT_IMAGES]
        return pixels_NCHW


class StubActor:
    """Returns votes from a table. In most images the label leads, by all possible margins."""

    def __init__(self) -> None:
        random = np.random.default_rng(1)
        logit_NK = random.normal(size=(DISTINCT_IMAGES, CLASSES))
        logit_NK[np.arange(DISTINCT_IMAGES), np.arange(DISTINCT_IMAGES) % CLASSES] += random.normal(
            3.5, 2.5, size=DISTINCT_IMAGES
        )
        share_NK = np.exp(logit_NK) / np.exp(logit_NK).sum(axis=1, keepdims=True)
        self._counts_NRK = random.multinomial(INCREMENTS, share_NK[:, None, :]).astype(np.int64)
        self._counts_NRK[:, 1:] = self._counts_NRK[:, 1:].cumsum(axis=1)
        self._spec: CertificationSpec | None = None

    def ready(self, _sources: dict[str, str]) -> None:
        pass

    def count(
        self, _fingerprint: str, work: "list[ray.ObjectRef[CertificationWork]]", chunk: Chunk, _pixels_NCHW: Pixels,
        batches: range | None,
    ) -> ChunkVotes:  # fmt: skip
        counts_NRK = self._counts_NRK[np.array(chunk.indices) % DISTINCT_IMAGES]
        if self._spec is None:
            self._spec = ray.get(work[0]).spec
        all_batches = batch_count(self._spec, len(chunk.indices))
        # If a chunk is split among actors, its votes must add up: the first part has all of them.
        is_first_part = batches is None or batches.start == 0
        votes = Votes(counts_NRK if is_first_part else np.zeros_like(counts_NRK), PREFIXES)
        return ChunkVotes(chunk, votes, 0.0, frozenset({"a stub"}), all_batches if batches is None else len(batches))


@contextmanager
def stub_actors(workers: int, device: str) -> Iterator[CountChunks]:
    """Start the real scheduler over as many handles as workers."""
    remote: Any = ray.remote(num_cpus=0)(StubActor)
    actors = [remote.remote() for _ in range(PROCESSES)]
    ray.get([actor.ready.remote({}) for actor in actors])
    handles = cycle(actors)
    with vote_counting(workers, device, start=lambda _: cast(ActorHandle[VotingActor], next(handles))) as count:
        yield count
