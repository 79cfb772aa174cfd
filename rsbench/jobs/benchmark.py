"""How fast a network votes on this machine: the network alone, a whole run, and each step of a vote.

All times are wall-clock seconds. Shapes: N images of a chunk, B rows of a batch, each a noisy copy of an image or
padding, C channels, H×W pixels, K classes.
"""

import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from rsbench.certification.plan import all_chunks, batch_count
from rsbench.certification.results import certify_chunks
from rsbench.certification.voting import BatchPlan, CertificationWork, ChunkVoter, VoteCounter
from rsbench.data.dataset import ImageDataset, RandomImages
from rsbench.errors import UsageError
from rsbench.jobs.checkpoints import CheckpointReference, check_described, external_header, record_checkpoint
from rsbench.jobs.options import CheckpointDescription
from rsbench.jobs.planning import choose_checkpoints, named_checkpoint
from rsbench.jobs.progress import ProgressListener
from rsbench.jobs.provenance import provenance
from rsbench.jobs.speeds import MeasuredSpeed, total_batches, total_votes
from rsbench.models.architectures import architecture_named, build_backbone
from rsbench.models.checkpoint import BaseClassifier, Checkpoint
from rsbench.models.device import describe_device
from rsbench.models.networks import Normalized
from rsbench.records import ChunkVotes
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store

# The steps are measured in rounds, one after the other, and the median of the rounds counts. With 15 rounds the median
# holds although a busy machine spoils up to seven. If the time is used up earlier, there are fewer rounds, but at least
# three, of which one may be spoilt.
_ROUNDS = 15
_FEWEST_ROUNDS = 3
# σ of an untrained network where the user gives none: in the middle of those that papers certify. The speed does not
# depend on it, except for splitting that evaluates every split, whose number of votes is proportional to σ.
_USUAL_SIGMA = 0.5


def choose_subject(
    store: Store, home: Path, dataset: ImageDataset | None, description: CheckpointDescription, checkpoint: str | None
) -> tuple[BaseClassifier, ImageDataset]:
    """The checkpoint and the images to measure. Without a name, the checkpoint is an untrained network.

    Without a dataset, the images are random ones of the network's usual shape.
    Raises UsageError or CheckpointError as certification does.
    """
    usual = dataset or _random_images_for(description.architecture or "mlp")
    if checkpoint is None:
        return _untrained(usual, description), usual
    if dataset is not None:
        (reference,) = choose_checkpoints(store, home, dataset, description, checkpoint=checkpoint)
        return reference.load(), dataset
    # Speed does not depend on the normalisation, and nothing is certified on random images.
    reference = named_checkpoint(store, home, usual, description, checkpoint, default_normalisation=usual.normalisation)
    check_described(reference, usual, description)
    header = reference.header
    return reference.load(), RandomImages(header.classes, header.shape, header.architecture)


def measure_speed(
    checkpoint: BaseClassifier,
    dataset: ImageDataset,
    spec: CertificationSpec,
    *,
    seconds: float,
    listener: ProgressListener,
) -> MeasuredSpeed:
    """Measure the network, the whole run and each step on a chunk of the run, for about `seconds` each.

    A chunk that would take longer than one round (`seconds / 15`) is shortened to whole batches, at least one with two
    copies: one to select and one to certify.
    Raises UsageError when a batch does not fit into the device's memory, CheckpointError as certification does.
    """
    listener.begin("measuring", _ROUNDS, "rounds")
    try:
        with tempfile.TemporaryDirectory() as folder, Store.create_or_open(f"{folder}/scratch.db") as store:
            return _time_steps(checkpoint, dataset, spec, store, seconds, listener)
    except torch.OutOfMemoryError as error:
        raise UsageError(
            f"batches of {spec.batch_size} do not fit into the memory of the device: lower --batch-size"
        ) from error
    finally:
        listener.end()


def _time_steps(
    checkpoint: BaseClassifier,
    dataset: ImageDataset,
    spec: CertificationSpec,
    store: Store,
    seconds: float,
    listener: ProgressListener,
) -> MeasuredSpeed:
    seconds_per_round = seconds / _ROUNDS
    timer = StepTimer(CertificationWork(spec, dataset.info, checkpoint), dataset, store)
    timer.forward_seconds()  # The first pass is slower.
    part = shortened(spec, math.ceil(seconds_per_round * spec.batch_size / timer.forward_seconds()))
    timer = StepTimer(CertificationWork(part, dataset.info, checkpoint), dataset, store)
    chunk_rows = _batch_rows(part, 1)
    # What is timed, and how many rows of batches it handles in one call.
    steps: dict[str, tuple[Callable[[], float], int]] = {
        "forward": (timer.forward_seconds, spec.batch_size),
        "full": (timer.chunk_seconds, chunk_rows),
        "noise": (timer.noise_seconds, chunk_rows),
        "votes": (timer.vote_seconds, chunk_rows),
        "store": (timer.store_seconds, chunk_rows),
    }
    seconds_per_row: dict[str, list[float]] = {name: [] for name in steps}
    end = time.monotonic() + seconds * len(steps)
    for number in range(_ROUNDS):
        if number >= _FEWEST_ROUNDS and time.monotonic() > end:
            break
        for name, (run_once, rows) in steps.items():
            seconds_per_row[name].append(_mean_seconds(run_once, seconds_per_round) / rows)
        listener.advance(1)
    # Times are measured per row of a batch and converted to votes only here, because the shortened chunk has another
    # share of padding in its last batch than the chunks of the run. Rows that only pad a batch are not votes.
    rows_per_vote = _batch_rows(spec, None) / total_votes(spec, all_chunks(spec))
    seconds_per_vote = {name: rows_per_vote * statistics.median(times) for name, times in seconds_per_row.items()}
    # Both times of a round are measured in the same second or so, so their quotient is steadier than that of medians.
    bare_share = statistics.median(
        bare_seconds / run_seconds
        for bare_seconds, run_seconds in zip(seconds_per_row["forward"], seconds_per_row["full"], strict=True)
    )
    return MeasuredSpeed(
        device=describe_device(spec.device),
        bare_passes_per_second=rows_per_vote / seconds_per_vote["forward"],
        votes_per_second=1.0 / seconds_per_vote["full"],
        share_of_bare_speed=bare_share / rows_per_vote,
        seconds_per_vote_by_step={name: seconds_per_vote[name] for name in ("noise", "forward", "votes", "store")},
        padding=rows_per_vote - 1.0,
        process_memory=_peak_memory(),
        gpu_memory=torch.cuda.max_memory_allocated() if spec.device == "cuda" else None,
    )


def shortened(spec: CertificationSpec, votes: int) -> CertificationSpec:
    """The run with chunks of about that many votes at most, in whole batches.

    The chunks have fewer images; where one image has more votes, they have one image with fewer votes.
    """
    passes = spec.passes_per_image
    if votes >= passes:
        return spec.model_copy(update={"chunk_images": min(spec.chunk_images, votes // passes)})
    kept = max(math.ceil(2 / spec.batch_size), votes // spec.batch_size) * spec.batch_size
    update: dict[str, object] = {"chunk_images": 1}
    if kept < passes and spec.budget is None:
        update["measure"] = spec.measure.model_copy(update={"levels": kept})
    elif kept < passes and spec.budget is not None:
        select = min(spec.budget.n_select, kept // 2)
        update["budget"] = spec.budget.model_copy(update={"n_select": select, "n_estimate": kept - select})
    return spec.model_copy(update=update)


class StepTimer:
    """Times the steps of a vote on the first chunk of a run. Each method runs a step once and returns its seconds.

    store: a scratch store. Each time that a chunk is written there, it belongs to another run.
    """

    def __init__(self, work: CertificationWork, dataset: ImageDataset, store: Store) -> None:
        self._work, self._dataset, self._store = work, dataset, store
        self._voter = ChunkVoter(work)
        self._chunk = all_chunks(work.spec)[0]
        self._pixels_NCHW = dataset.pixels(self._chunk.indices)
        random = torch.Generator().manual_seed(0)
        self._batch_BCHW = torch.rand((work.spec.batch_size, *work.info.shape), generator=random).to(self._voter.device)
        self._plan = BatchPlan(work.spec, len(self._chunk.indices), self._voter.device)
        self._batches = batch_count(work.spec, len(self._chunk.indices))
        self._votes: ChunkVotes | None = None
        self._runs = 0
        store.record_dataset(work.info)
        record_checkpoint(store, CheckpointReference.of(work.checkpoint, ""), work.info)

    def forward_seconds(self) -> float:
        """Return the seconds of one forward pass of the network alone, over a batch that is on the device already."""
        return self._seconds(self._logits)

    def chunk_seconds(self) -> float:
        """Return the seconds of the whole chunk, from pixels to image results in the store."""
        run = self._new_run()
        return self._seconds(lambda: self._write(run, self._count()))

    def noise_seconds(self) -> float:
        """Return the seconds of drawing the noise and making the noisy copies of the chunk."""
        return self._seconds(self._draw_batches)

    def vote_seconds(self) -> float:
        """Return the seconds of counting the chunk's votes of a network that takes no time."""
        network, vote_rows = self._constant_network, self._vote_rows

        def count_votes() -> None:
            counter = VoteCounter(
                network, vote_rows=self._plan.vote_rows, classes=self._work.info.classes, device=self._voter.device
            )
            for rows_B in vote_rows:
                counter.add(self._batch_BCHW, rows_B)
            counter.counts()

        return self._seconds(count_votes)

    def store_seconds(self) -> float:
        """Return the seconds of computing the chunk's radii, encoding its votes, and writing both."""
        run, votes = self._new_run(), self._votes or self._count()
        return self._seconds(lambda: self._write(run, votes))

    @torch.inference_mode()
    def _logits(self) -> Tensor:
        logits_BK: Tensor = self._voter.network(self._batch_BCHW)
        return logits_BK

    @cached_property
    def _constant_network(self) -> nn.Module:
        return _ConstantNetwork(self._logits())

    @cached_property
    def _vote_rows(self) -> list[Tensor]:
        return self._draw_batches()

    @torch.inference_mode()
    def _draw_batches(self) -> list[Tensor]:
        """Make all noisy copies, and return for each batch the rows of the table of votes that its votes count in."""
        images_NCHW, index_N = self._voter.prepare_images(self._chunk, self._pixels_NCHW)
        return [self._voter.noisy_batch(images_NCHW, index_N, self._plan, batch)[1] for batch in range(self._batches)]

    def _count(self) -> ChunkVotes:
        self._votes = self._voter.count(self._chunk, self._pixels_NCHW)
        return self._votes

    def _new_run(self) -> int:
        """Open a run with another seed, because the store does not write an image result that it already has."""
        self._runs += 1
        spec = self._work.spec.model_copy(update={"seed": self._runs})
        return self._store.open_run(spec, image_count=len(self._chunk.indices)).id

    def _write(self, run: int, votes: ChunkVotes) -> None:
        image_results = certify_chunks(self._work.spec, self._work.info, self._dataset.labels_N, [votes])
        device = describe_device(self._work.spec.device)
        self._store.write_chunk(run, image_results, seconds=votes.seconds, provenance=provenance(device))

    def _seconds(self, work: Callable[[], object]) -> float:
        self._synchronize()
        started = time.perf_counter()
        work()
        self._synchronize()
        return time.perf_counter() - started

    def _synchronize(self) -> None:
        if self._voter.device.type == "cuda":
            torch.cuda.synchronize()


class _ConstantNetwork(nn.Module):
    """Returns the same logits for every batch."""

    def __init__(self, logits_BK: Tensor) -> None:
        super().__init__()
        self._logits_BK = logits_BK

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self._logits_BK


def _random_images_for(architecture: str) -> RandomImages:
    usual = architecture_named(architecture)
    return RandomImages(usual.usual_classes, usual.usual_shape, architecture)


def _untrained(dataset: ImageDataset, description: CheckpointDescription) -> Checkpoint:
    sigma = _USUAL_SIGMA if description.sigma is None else description.sigma
    completed = replace(description, method=description.method or "cohen", sigma=sigma)
    header = external_header("an untrained network", dataset, completed, dataset.normalisation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = build_backbone(header.architecture, header.classes, header.shape)
    return Checkpoint.pack(Normalized(backbone, header.mean, header.std), header)


def _mean_seconds(run_once: Callable[[], float], seconds: float) -> float:
    """Mean seconds of a step that is repeated for at least that long."""
    times = [run_once()]
    while sum(times) < seconds:
        times.append(run_once())
    return statistics.fmean(times)


def _batch_rows(spec: CertificationSpec, chunks: int | None) -> int:
    """Rows of all batches of the first chunks of a run, including those that only pad the last batch of a chunk.

    chunks: how many chunks count; None for all.
    """
    return spec.batch_size * total_batches(spec, all_chunks(spec)[:chunks])


def _peak_memory() -> int:
    """The most memory that this process has used, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
