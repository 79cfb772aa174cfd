"""A chunk of images → votes of the base classifier on their noisy copies.

Shapes: N images of a chunk, B rows of a batch, C×H×W an image, K classes, T vote rows of a chunk, R vote rows of an
image (one for the selection, then one per prefix of n).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor, nn

from rsbench.certification.plan import batch_count, spec_prefixes
from rsbench.data.dataset import Pixels, unit_images
from rsbench.errors import CheckpointError, UsageError
from rsbench.models.arithmetic import Arithmetic
from rsbench.models.checkpoint import BaseClassifier
from rsbench.models.device import describe_device, prepare_device
from rsbench.records import Chunk, ChunkVotes, DatasetInfo, Votes
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.measures import EnumeratedMeasure
from rsbench.smoothing.randomness import MAX_COPIES, MAX_IMAGES, KeyedRandom, Stage, check_streams
from rsbench.specs import CertificationSpec


class NonFiniteOutputError(ValueError):
    """The base classifier returned NaN or infinity."""


class WrongOutputShapeError(ValueError):
    """The base classifier returned another number of rows or classes than expected."""


@dataclass(frozen=True, eq=False)
class CertificationWork:
    """All that a worker needs of a run besides the images. It is sent to each worker once."""

    spec: CertificationSpec
    info: DatasetInfo
    checkpoint: BaseClassifier


@dataclass(frozen=True, eq=False)
class BatchRows:
    """Which noisy copy is in each row of a batch: four int64 tensors on the device."""

    position_B: Tensor
    """Position of the image in its chunk."""

    stage_B: Tensor
    """`Stage.SELECT` or `Stage.ESTIMATE`."""

    copy_B: Tensor
    """Number of the copy within its stage."""

    vote_row_B: Tensor
    """The vote row that receives the vote; T, one past the last, for a row that only pads the batch."""


class BatchPlan:
    """Assigns the noisy copies of a chunk to batches of one size.

    The copies are ordered image by image, selection before estimation, and row r of batch b is copy b·B + r. The last
    batch is padded with the chunk's last copy. All batches have one size whatever n0 and n are, because the last bits
    of a network's output can change with the size of the batch; and any batch can be made without the others.
    """

    def __init__(self, spec: CertificationSpec, images: int, device: torch.device) -> None:
        self._batch_size, self._device = spec.batch_size, device
        self._copies_per_image = spec.passes_per_image
        self._n_select = 0 if spec.budget is None else spec.budget.n_select
        prefixes = spec_prefixes(spec)
        self.vote_rows_per_image = 1 + len(prefixes)
        self.vote_rows = images * self.vote_rows_per_image
        self._copies = images * self._copies_per_image
        # Where the vote rows of an image end: after the selection, and after each prefix but the last.
        ends = accumulate((self._n_select, *prefixes[:1], *(after - before for before, after in pairwise(prefixes))))
        self._row_ends = torch.tensor(list(ends)[:-1], device=device)

    def rows(self, batch: int) -> BatchRows:
        """Return the rows of a batch, given by its number in the chunk."""
        first = batch * self._batch_size
        copy_B = torch.arange(first, first + self._batch_size, device=self._device)
        is_padding_B = copy_B >= self._copies
        copy_B.clamp_(max=self._copies - 1)
        position_B = copy_B // self._copies_per_image
        copy_B -= position_B * self._copies_per_image
        vote_row_B = torch.bucketize(copy_B, self._row_ends, right=True)
        is_estimation_B = vote_row_B > 0
        vote_row_B += position_B * self.vote_rows_per_image
        return BatchRows(
            position_B,
            torch.where(is_estimation_B, int(Stage.ESTIMATE), int(Stage.SELECT)),
            copy_B - self._n_select * is_estimation_B,
            vote_row_B.masked_fill_(is_padding_B, self.vote_rows),
        )


class VoteCounter:
    """Lets a network vote on batches of noisy copies and counts the votes on its device.

    There are T = `vote_rows` rows of counters, and one more that is dropped, which takes the votes of padding.
    """

    def __init__(self, network: nn.Module, *, vote_rows: int, classes: int, device: torch.device) -> None:
        self._network = network
        self._classes = classes
        self._counts = torch.zeros((vote_rows + 1) * classes, dtype=torch.int64, device=device)
        self._all_finite = torch.ones((), dtype=torch.bool, device=device)

    def add(self, copies_BCHW: Tensor, vote_row_B: Tensor) -> None:
        """Let the network vote on noisy copies; the vote of each is added to its vote row, int64 in {0..T}.

        Raises WrongOutputShapeError unless the network returns one row of K logits per copy.
        """
        logits_BK = self._network(copies_BCHW)
        if logits_BK.shape != (len(copies_BCHW), self._classes):
            raise WrongOutputShapeError(
                f"the network returned outputs of shape {tuple(logits_BK.shape)}, "
                f"expected {(len(copies_BCHW), self._classes)}: check the architecture and the number of classes"
            )
        self._all_finite &= torch.isfinite(logits_BK).all()
        counter_B = vote_row_B * self._classes + logits_BK.argmax(dim=1)
        self._counts.index_add_(0, counter_B, torch.ones_like(counter_B))

    def counts(self) -> Tensor:
        """Return the votes so far, int64 T×K on the CPU. Only this waits for the device.

        Raises NonFiniteOutputError if the network returned NaN or infinity for any copy.
        """
        if not self._all_finite.item():
            raise NonFiniteOutputError(
                "the network returned NaN or infinity, so a noisy copy has no class: check the weights, the "
                "normalisation and the precision"
            )
        return self._counts.reshape(-1, self._classes)[:-1].cpu()


class ChunkVoter:
    """The base classifier of a run, loaded on its device and ready to vote on chunks.

    Raises UsageError if this machine or this version of rsbench cannot compute the run as it is specified, and
    CheckpointError if the weights do not fit the architecture.
    """

    def __init__(self, work: CertificationWork) -> None:
        spec, self._info = work.spec, work.info
        _check_noise(work)
        self._spec = spec
        self._measure = build_measure(spec.measure, q=work.info.q, shape_CHW=work.info.shape, on_grid=spec.on_grid)
        self.device = prepare_device(spec.device)
        check_streams(self.device)
        self.network: nn.Module = Arithmetic(work.checkpoint.network(self.device), spec)

    @torch.inference_mode()
    def count(self, chunk: Chunk, pixels_NCHW: Pixels, batches: range | None = None) -> ChunkVotes:
        """Return the votes on a chunk, or on some of its batches.

        Parameters
        ----------
        chunk
            The images, by index.
        pixels_NCHW
            Their pixels, in the order of the chunk.
        batches
            The numbers of the batches to vote on; None means all. The votes of parts that make up a chunk sum to those
            of the chunk, see `merge_parts`.

        Raises CheckpointError if the network returns NaN, infinity or another number of classes, and UsageError if an
        image is not valid for the measure or a batch does not fit into the memory of the device.
        """
        started = time.perf_counter()
        batches = range(batch_count(self._spec, len(chunk.indices))) if batches is None else batches
        plan = BatchPlan(self._spec, len(chunk.indices), self.device)
        counter = VoteCounter(self.network, vote_rows=plan.vote_rows, classes=self._info.classes, device=self.device)
        images_NCHW, index_N = self.prepare_images(chunk, pixels_NCHW)
        try:
            for batch in batches:
                counter.add(*self.noisy_batch(images_NCHW, index_N, plan, batch))
            counts_TK = counter.counts()
        except torch.OutOfMemoryError as error:
            raise UsageError(
                f"the device has no room for batches of {self._spec.batch_size}: lower --batch-size"
            ) from error
        except (NonFiniteOutputError, WrongOutputShapeError) as error:
            raise CheckpointError(
                f"checkpoint {self._spec.checkpoint_sha256[:12]} cannot be certified on images "
                f"{chunk.indices[0]} to {chunk.indices[-1]}: {error}"
            ) from error
        counts_NRK = counts_TK.numpy().reshape(len(chunk.indices), plan.vote_rows_per_image, self._info.classes)
        # Estimation votes were counted from one prefix to the next; stored votes are cumulative.
        counts_NRK[:, 1:] = np.cumsum(counts_NRK[:, 1:], axis=1)
        seconds = time.perf_counter() - started
        votes = Votes(counts_NRK, spec_prefixes(self._spec))
        devices = frozenset({describe_device(self._spec.device)})
        return ChunkVotes(chunk, votes, seconds, devices, len(batches))

    def prepare_images(self, chunk: Chunk, pixels_NCHW: Pixels) -> tuple[Tensor, Tensor]:
        """Return the images of a chunk as the measure takes them, N×C×H×W, and their indices, both on the device.

        Raises UsageError if one is not valid for the measure.
        """
        try:
            images_NCHW = self._measure.prepare(unit_images(pixels_NCHW, self._info.q))
        except ValueError as error:
            raise UsageError(
                f"images {chunk.indices[0]} to {chunk.indices[-1]} of {self._info.name}: {error}"
            ) from error
        return images_NCHW.to(self.device), torch.tensor(chunk.indices, device=self.device)

    def noisy_batch(self, images_NCHW: Tensor, index_N: Tensor, plan: BatchPlan, batch: int) -> tuple[Tensor, Tensor]:
        """Return the noisy copies of a batch, B×C×H×W, and the vote row that the vote of each is added to."""
        rows = plan.rows(batch)
        x_BCHW = images_NCHW.index_select(0, rows.position_B)
        if isinstance(self._measure, EnumeratedMeasure):
            return self._measure.copies(x_BCHW, rows.copy_B), rows.vote_row_B
        random = KeyedRandom(self._spec.seed, rows.stage_B, index_N[rows.position_B], rows.copy_B)
        return self._measure.perturb(x_BCHW, random), rows.vote_row_B


def merge_parts(parts: Sequence[ChunkVotes]) -> ChunkVotes:
    """Return the votes on a chunk from parts that together hold each of its batches once."""
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
    """Raise UsageError if the noise of a run cannot be drawn."""
    spec, info = work.spec, work.info
    if spec.noise == "philox-block100-float32":
        raise UsageError(
            "this run was made by an early release of rsbench, whose noise can no longer be drawn: certify the "
            "checkpoint again"
        )
    if info.images > MAX_IMAGES:
        raise UsageError(
            f"{info.name} has {info.images:,} images, and keyed noise supports at most {MAX_IMAGES:,}: divide the "
            "dataset"
        )
    if spec.passes_per_image > MAX_COPIES:
        raise UsageError(
            f"the run has {spec.passes_per_image:,} noisy copies per image, and keyed noise supports at most "
            f"{MAX_COPIES:,}: lower --n"
        )
