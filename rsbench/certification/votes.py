"""A chunk of images → votes. Shapes: N images, R vote rows, K classes, B rows of a batch, C×H×W an image."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from rsbench.certification.plan import batches_of, spec_prefixes
from rsbench.certification.rows import RowPlan
from rsbench.certification.work import CertificationWork
from rsbench.data.dataset import Pixels, unit_images
from rsbench.errors import CheckpointError, UsageError
from rsbench.models.arithmetic import Arithmetic
from rsbench.models.device import describe_device, prepare_device
from rsbench.records import Chunk, ChunkVotes, Votes
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.measure import EnumeratedMeasure
from rsbench.smoothing.randomness import LARGEST_IMAGE, KeyedRandom, check_streams
from rsbench.smoothing.voting import Ballot, NonFiniteOutputError, WrongOutputShapeError


class VoteCounter:
    """The base classifier of a run on its device, ready to vote on chunks."""

    def __init__(self, work: CertificationWork) -> None:
        """Raises UsageError when this machine or this version cannot compute the run as it is specified."""
        spec, self._info = work.spec, work.info
        _check_noise(work)
        self._spec = spec
        self._measure = build_measure(spec.measure, q=work.info.q, shape_CHW=work.info.shape, on_grid=spec.on_grid)
        self.device = prepare_device(spec.device)
        check_streams(self.device)
        self.network: nn.Module = Arithmetic(work.checkpoint.network(self.device), spec)

    @torch.inference_mode()
    def count(self, chunk: Chunk, pixels_NCHW: Pixels, batches: range | None = None) -> ChunkVotes:
        """The votes of one chunk, whose images are `pixels_NCHW` in the chunk's order, or of some of its batches.

        The votes of parts that make up a chunk add up to those of the chunk.
        Raises CheckpointError when the network returns NaN, infinity or another number of classes, and UsageError when
        an image does not suit the measure.
        """
        started = time.perf_counter()
        chosen = range(batches_of(self._spec, len(chunk.indices))) if batches is None else batches
        plan = RowPlan(self._spec, len(chunk.indices), self.device)
        ballot = Ballot(self.network, tallies=plan.tallies, classes=self._info.classes, device=self.device)
        images_NCHW, index_N = self.images(chunk, pixels_NCHW)
        try:
            for batch in chosen:
                ballot.cast(*self.batch(images_NCHW, index_N, plan, batch))
            counts_TK = ballot.count()
        except torch.OutOfMemoryError as error:
            raise UsageError(
                f"the device has no room for batches of {self._spec.batch_size}: lower --batch-size"
            ) from error
        except (NonFiniteOutputError, WrongOutputShapeError) as error:
            raise CheckpointError(
                f"checkpoint {self._spec.checkpoint_sha256[:12]} cannot be certified on images "
                f"{chunk.indices[0]} to {chunk.indices[-1]}: {error}; such a copy has no class: look at the "
                "network's weights, normalisation and precision"
            ) from error
        counts_NRK = counts_TK.numpy().reshape(len(chunk.indices), plan.tallies_of_image, self._info.classes)
        # Each row so far holds the votes between two prefixes.
        counts_NRK[:, 1:] = np.cumsum(counts_NRK[:, 1:], axis=1)
        seconds = time.perf_counter() - started
        votes = Votes(counts_NRK, spec_prefixes(self._spec))
        devices = frozenset({describe_device(self._spec.device)})
        return ChunkVotes(chunk, votes, seconds, devices, len(chosen))

    def images(self, chunk: Chunk, pixels_NCHW: Pixels) -> tuple[Tensor, Tensor]:
        """The images of a chunk as the measure takes them, and their indices, both on the device.

        Raises UsageError when one does not suit the measure.
        """
        try:
            images_NCHW = self._measure.prepare(unit_images(pixels_NCHW, self._info.q))
        except ValueError as error:
            raise UsageError(
                f"images {chunk.indices[0]} to {chunk.indices[-1]} of {self._info.name}: {error}"
            ) from error
        return images_NCHW.to(self.device), torch.tensor(chunk.indices, device=self.device)

    def batch(self, images_NCHW: Tensor, index_N: Tensor, plan: RowPlan, batch: int) -> tuple[Tensor, Tensor]:
        """The noisy copies in a batch of a chunk, B×C×H×W, and the tally that the vote of each goes to."""
        rows = plan.rows(batch)
        x_BCHW = images_NCHW.index_select(0, rows.position_B)
        if isinstance(self._measure, EnumeratedMeasure):
            return self._measure.copies(x_BCHW, rows.copy_B), rows.tally_B
        random = KeyedRandom(self._spec.seed, rows.stage_B, index_N[rows.position_B], rows.copy_B)
        return self._measure.perturb(x_BCHW, random), rows.tally_B


def added_up(parts: Sequence[ChunkVotes]) -> ChunkVotes:
    """The votes of a chunk, of parts that hold each of its batches once."""
    first = parts[0]
    if len(parts) == 1:
        return first
    counts_NRK = np.sum([part.votes.counts_NRK for part in parts], axis=0)
    return ChunkVotes(
        first.chunk,
        Votes(counts_NRK, first.votes.prefixes),
        sum(part.seconds for part in parts),
        frozenset().union(*(part.devices for part in parts)),
        sum(part.batches for part in parts),
    )


def _check_noise(work: CertificationWork) -> None:
    if work.spec.noise == "philox-block100-float32":
        raise UsageError(
            "the run is of an early rsbench, which drew noise and filled batches in another way: certify the "
            "checkpoint again"
        )
    if work.info.images > LARGEST_IMAGE + 1:
        raise UsageError(
            f"{work.info.name} has {work.info.images:,} images, and noise is keyed for {LARGEST_IMAGE + 1:,} at most"
        )
