"""How fast a network votes here: on its own, on the way that a run takes, and stage by stage."""

import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from rsbench.certification.plan import all_chunks
from rsbench.certification.voting import CertificationWork
from rsbench.data.dataset import ImageDataset, RandomImages
from rsbench.errors import UsageError
from rsbench.jobs.batches import batches, votes
from rsbench.jobs.checkpoints import CheckpointDescription, check_described, external_header
from rsbench.jobs.planning import choose_checkpoints, named_checkpoint
from rsbench.jobs.stages import Stages
from rsbench.jobs.watcher import Watcher
from rsbench.models.architectures import architecture_named, build_backbone
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.device import describe_device
from rsbench.models.networks import Normalized
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store

# Measurements take turns, and the median of the turns counts: a busy moment of the machine spoils one of them. Where
# one way through a stage takes longer than a turn, there are fewer turns.
_TURNS = 15
_FEWEST_TURNS = 3


@dataclass(frozen=True)
class Speed:
    """What was measured.

    `bare`: forward passes a second over batches that lie ready. `full`: votes a second, from pixels to rows in the
    store, where passes of rows that only fill a chunk's last batch are no votes; they are `padding` for each vote of
    the run. `ratio`: of the two, the median of those of each turn. `stages`: seconds a vote of each on its own. Peak
    memory in bytes: of this process, and of the GPU's allocations.
    """

    device: str
    bare: float
    full: float
    ratio: float
    stages: dict[str, float]
    padding: float
    process_memory: int
    gpu_memory: int | None


@dataclass(frozen=True)
class Duration:
    """How long a whole run takes at a speed, if each of its workers has it."""

    images: int
    votes: int
    workers: int
    seconds: float
    gpu_hours: float | None


def choose_subject(
    store: Store, home: Path, dataset: ImageDataset | None, description: CheckpointDescription, checkpoint: str | None
) -> tuple[Checkpoint, ImageDataset]:
    """What to measure: a checkpoint, untrained unless one is named, and its images, random ones without a data set.

    Raises UsageError or CheckpointError as certification does.
    """
    usual = dataset or _usual_images(description.architecture or "mlp")
    if checkpoint is None:
        return _untrained(usual, description), usual
    if dataset is not None:
        ((found, _),) = choose_checkpoints(store, home, dataset, description, checkpoint=checkpoint)
        return found, dataset
    # Speed does not depend on the normalisation, and nothing is certified on random images.
    found, _ = named_checkpoint(store, home, usual, description, checkpoint, default_normalisation=usual.normalisation)
    check_described(found, usual, description)
    return found, RandomImages(found.header.classes, found.header.shape, found.header.architecture)


def measure_speed(
    checkpoint: Checkpoint, dataset: ImageDataset, spec: CertificationSpec, *, seconds: float, watcher: Watcher
) -> Speed:
    """Send a chunk of a run through the stages of a vote, about `seconds` through each and through all together.

    A chunk that takes longer is shortened, to a few batches at least.
    Raises UsageError when the device has no room for a batch, CheckpointError as certification does.
    """
    watcher.begin("measuring", _TURNS, "turns")
    try:
        with tempfile.TemporaryDirectory() as folder, Store.create_or_open(f"{folder}/scratch.db") as store:
            return _measure(checkpoint, dataset, spec, store, seconds, watcher)
    except torch.OutOfMemoryError as error:
        raise UsageError(f"the device has no room for batches of {spec.batch_size}: lower --batch-size") from error
    finally:
        watcher.end()


def _measure(
    checkpoint: Checkpoint,
    dataset: ImageDataset,
    spec: CertificationSpec,
    store: Store,
    seconds: float,
    watcher: Watcher,
) -> Speed:
    turn = seconds / _TURNS
    stages = Stages(CertificationWork(spec, dataset.info, checkpoint), dataset, store)
    stages.forward()  # a first pass is slower
    part = shortened(spec, math.ceil(turn * spec.batch_size / stages.forward()))
    stages = Stages(CertificationWork(part, dataset.info, checkpoint), dataset, store)
    rows = _rows(part, 1)
    # What goes its way, and how many rows of batches go it at once.
    ways: dict[str, tuple[Callable[[], float], int]] = {
        "forward": (stages.forward, spec.batch_size),
        "full": (stages.full, rows),
        "noise": (stages.noise, rows),
        "votes": (stages.votes, rows),
        "store": (stages.store, rows),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    end = time.monotonic() + seconds * len(ways)
    for number in range(_TURNS):
        if number >= _FEWEST_TURNS and time.monotonic() > end:
            break
        for name, (go, size) in ways.items():
            taken[name].append(_mean(go, turn) / size)
        watcher.advance(1)
    # The part may fill its last batch otherwise than a chunk of the run.
    rows_a_vote = _rows(spec, None) / votes(spec, all_chunks(spec))
    second = {name: rows_a_vote * statistics.median(turns) for name, turns in taken.items()}
    ratio = statistics.median(bare / full for bare, full in zip(taken["forward"], taken["full"], strict=True))
    return Speed(
        device=describe_device(spec.device),
        bare=rows_a_vote / second["forward"],
        full=1.0 / second["full"],
        ratio=ratio / rows_a_vote,
        stages={name: second[name] for name in ("noise", "forward", "votes", "store")},
        padding=rows_a_vote - 1.0,
        process_memory=_peak_memory(),
        gpu_memory=torch.cuda.max_memory_allocated() if spec.device == "cuda" else None,
    )


def duration(spec: CertificationSpec, speed: Speed, workers: int) -> Duration:
    """Of a whole run on that many workers, which share its batches."""
    chunks = all_chunks(spec)
    passes = votes(spec, chunks)
    seconds = passes / speed.full
    busy = max(1, min(workers, batches(spec, chunks)))
    return Duration(
        images=sum(len(chunk.indices) for chunk in chunks),
        votes=passes,
        workers=busy,
        seconds=seconds / busy,
        gpu_hours=seconds / 3600.0 if spec.device == "cuda" else None,
    )


def shortened(spec: CertificationSpec, most: int) -> CertificationSpec:
    """The run with chunks of about so many votes at most: of fewer images, or of one with fewer votes.

    Those are whole batches.
    """
    passes = spec.passes_per_image
    if most >= passes:
        return spec.model_copy(update={"chunk_images": min(spec.chunk_images, most // passes)})
    kept = max(math.ceil(2 / spec.batch_size), most // spec.batch_size) * spec.batch_size
    update: dict[str, object] = {"chunk_images": 1}
    if kept < passes and spec.budget is None:
        update["measure"] = spec.measure.model_copy(update={"levels": kept})
    elif kept < passes and spec.budget is not None:
        select = min(spec.budget.n_select, kept // 2)
        update["budget"] = spec.budget.model_copy(update={"n_select": select, "n_estimate": kept - select})
    return spec.model_copy(update=update)


def _usual_images(architecture: str) -> RandomImages:
    usual = architecture_named(architecture)
    return RandomImages(usual.usual_classes, usual.usual_shape, architecture)


def _untrained(dataset: ImageDataset, description: CheckpointDescription) -> Checkpoint:
    sigma = 0.5 if description.sigma is None else description.sigma
    completed = replace(description, method=description.method or "cohen", sigma=sigma)
    header = external_header("an untrained network", dataset, completed, dataset.normalisation)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        backbone = build_backbone(header.architecture, header.classes, header.shape)
    return Checkpoint.pack(Normalized(backbone, header.mean, header.std), header)


def _mean(go: Callable[[], float], seconds: float) -> float:
    """Seconds of going a way, again and again for at least that long."""
    taken = [go()]
    while sum(taken) < seconds:
        taken.append(go())
    return statistics.fmean(taken)


def _rows(spec: CertificationSpec, chunks: int | None) -> int:
    """Rows of all batches of a run's first chunks: the last batch of a chunk is filled up."""
    return spec.batch_size * batches(spec, all_chunks(spec)[:chunks])


def _peak_memory() -> int:
    """Bytes of this process that were in memory at most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
