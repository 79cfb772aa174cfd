"""A chunk of images → votes. Shapes: N images, R vote rows, K classes, C channels, H height, W width."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from rsbench.certification.plan import BLOCK, spec_prefixes
from rsbench.data.dataset import Pixels
from rsbench.data.unit import unit_images
from rsbench.errors import CheckpointError, UsageError
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.device import describe_device, prepare_device
from rsbench.records import Chunk, ChunkVotes, DatasetInfo, Votes
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.measure import EnumeratedMeasure
from rsbench.smoothing.randomness import KeyedRandom, Stage
from rsbench.smoothing.voting import Ballot, NonFiniteOutputError, WrongOutputShapeError
from rsbench.specs import CertificationSpec


@dataclass(frozen=True, eq=False)
class CertificationWork:
    """Everything that a worker needs of a run besides the images: it travels once to each worker."""

    spec: CertificationSpec
    info: DatasetInfo
    checkpoint: Checkpoint


class VoteCounter:
    """The base classifier of a run on its device, ready to vote on chunks."""

    def __init__(self, work: CertificationWork) -> None:
        self._spec = work.spec
        self._info = work.info
        self._measure = build_measure(work.spec.measure, q=work.info.q, shape_CHW=work.info.shape)
        self.device = prepare_device(work.spec.device)
        self.network: nn.Module = work.checkpoint.network(self.device)

    @torch.inference_mode()
    def count(self, chunk: Chunk, pixels_NCHW: Pixels) -> ChunkVotes:
        """The votes of one chunk, whose images are `pixels_NCHW` in the chunk's order.

        Raises CheckpointError when the network returns NaN, infinity or another number of classes, and ValueError when
        an image does not suit the measure.
        """
        started = time.perf_counter()
        ballot = self.ballot(chunk, self.network)
        try:
            for copies_BCHW, tally in self.copies(chunk, pixels_NCHW):
                ballot.cast(copies_BCHW, tally)
            counts_TK = ballot.count()
        except torch.OutOfMemoryError as error:
            raise UsageError(
                f"the device has no room for batches of {self._spec.batch_size}: lower --batch-size"
            ) from error
        except (NonFiniteOutputError, WrongOutputShapeError) as error:
            raise CheckpointError(
                f"checkpoint {self._spec.checkpoint_sha256[:12]} cannot be certified on images "
                f"{chunk.indices[0]} to {chunk.indices[-1]}: {error}"
            ) from error
        prefixes = spec_prefixes(self._spec)
        counts_NRK = counts_TK.numpy().reshape(len(chunk.indices), 1 + len(prefixes), self._info.classes)
        # Each row so far holds the votes between two prefixes.
        counts_NRK[:, 1:] = np.cumsum(counts_NRK[:, 1:], axis=1)
        seconds = time.perf_counter() - started
        return ChunkVotes(chunk, Votes(counts_NRK, prefixes), seconds, describe_device(self._spec.device))

    def ballot(self, chunk: Chunk, network: nn.Module) -> Ballot:
        """An empty ballot for the votes of `network` on a chunk: a tally for each row of votes of each image."""
        return Ballot(
            network,
            batch_size=self._spec.batch_size,
            tallies=len(chunk.indices) * (1 + len(spec_prefixes(self._spec))),
            classes=self._info.classes,
            shape_CHW=self._info.shape,
            device=self.device,
        )

    def copies(self, chunk: Chunk, pixels_NCHW: Pixels) -> Iterator[tuple[Tensor, int]]:
        """Every noisy copy of a chunk in blocks of at most BLOCK, each with the tally that its votes go to.

        Raises ValueError when an image does not suit the measure.
        """
        images_NCHW = unit_images(pixels_NCHW, self._info.q).to(self.device)
        rows = 1 + len(spec_prefixes(self._spec))
        for position, index in enumerate(chunk.indices):
            yield from self._copies_of(images_NCHW[position], index, position * rows)

    def _copies_of(self, x_CHW: Tensor, index: int, first_tally: int) -> Iterator[tuple[Tensor, int]]:
        budget = self._spec.budget
        if budget is None:
            assert isinstance(self._measure, EnumeratedMeasure)  # noqa: S101 - the spec ties the budget to the family
            for start in range(0, self._measure.levels, BLOCK):
                stop = min(start + BLOCK, self._measure.levels)
                yield self._measure.copies(x_CHW, start, stop), first_tally + 1
            return
        for copies_BCHW in self._sampled(x_CHW, index, Stage.SELECT, 0, budget.n_select):
            yield copies_BCHW, first_tally
        start = 0
        for row, prefix in enumerate(spec_prefixes(self._spec), start=1):
            for copies_BCHW in self._sampled(x_CHW, index, Stage.ESTIMATE, start, prefix):
                yield copies_BCHW, first_tally + row
            start = prefix

    def _sampled(self, x_CHW: Tensor, index: int, stage: Stage, start: int, stop: int) -> Iterator[Tensor]:
        """Copies start..stop−1 of a stage; `start` is the first of a block."""
        for first in range(start, stop, BLOCK):
            random = KeyedRandom(self._spec.seed, stage, index, first // BLOCK)
            # A block is always drawn whole and then cut: an array's first values may depend on its length.
            copies_BCHW = self._measure.perturb(x_CHW.expand(BLOCK, *x_CHW.shape), random)
            yield copies_BCHW[: min(BLOCK, stop - first)]
