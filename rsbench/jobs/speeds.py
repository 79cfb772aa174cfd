"""The speed of networks on this machine: what `rsbench bench` measured, the files that keep it, and what to expect.

The files are small and lie in the home. A file belongs to a network and to everything else that changes its speed; the
next measurement of the same replaces it.
"""

import hashlib
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, Field, ValidationError

from rsbench.atomic_files import write_atomically
from rsbench.certification.plan import all_chunks, batch_count
from rsbench.data.dataset import ImageDataset
from rsbench.models.architectures import architecture_named
from rsbench.models.device import cuda_is_usable, describe_device
from rsbench.records import Chunk
from rsbench.report.commands import arithmetic_options
from rsbench.specs import CertificationSpec, CheckpointHeader, Spec, canonical_json

# Fields of a specification that do not change the speed, or that a record keeps in fields of its own. All others count,
# those that specifications get later too: a record that is used too rarely does less harm than one used too often.
_IRRELEVANT = frozenset({
    "method", "checkpoint_sha256", "dataset", "dataset_fingerprint", "images", "measure", "certificate", "procedure",
    "budget", "seed", "chunk_images", "device", "mixed_devices", "noise",
})  # fmt: skip

# Forward passes per second of the newest sealed run of an architecture on a kind of device; None if there is none.
StoredSpeed = Callable[[str, str], float | None]


@dataclass(frozen=True)
class MeasuredSpeed:
    """What `rsbench bench` measured of a run."""

    device: str
    """Model of the device."""

    bare_passes_per_second: float
    """Forward passes per second of the network alone, over batches that are on the device already."""

    votes_per_second: float
    """Votes per second of the whole run, from pixels to image results in the store. Rows that only pad a batch are not
    votes."""

    share_of_bare_speed: float
    """`votes_per_second` divided by `bare_passes_per_second`: the median of the quotients of all rounds."""

    seconds_per_vote_by_step: dict[str, float]
    """Wall-clock seconds of each step of a vote, measured separately."""

    padding: float
    """Forward passes that only pad the last batch of a chunk, per vote."""

    process_memory: int
    """The most memory that the process used, in bytes."""

    gpu_memory: int | None
    """The most memory that was allocated on the GPU, in bytes; None on a CPU."""


@dataclass(frozen=True)
class RunTime:
    """How long a whole run takes if each of its workers has a measured speed."""

    images: int
    votes: int
    workers: int
    """Workers that have work: not more than the run has batches."""

    seconds: float
    """Wall-clock time from the first batch to the last."""

    gpu_hours: float | None
    """GPU hours of all workers; None on a CPU."""


class SpeedRecord(Spec):
    """The speed of a network as it is kept in a file."""

    architecture: str
    shape: tuple[int, int, int]
    device: str
    family: str
    options: dict[str, Any]
    """Everything else in the specification that changes the speed, such as the batch size."""

    passes_per_second: float = Field(ge=1e-6)
    """Forward passes per second of one worker on a whole run, with those that only fill batches."""

    measured_at: AwareDatetime

    @property
    def name(self) -> str:
        """Name of the file: the same for every measurement of the same."""
        subject = self.model_dump(mode="json", exclude={"passes_per_second", "measured_at"})
        return hashlib.sha256(canonical_json(subject).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ExpectedSpeed:
    """The speed to expect of one worker."""

    architecture: str
    source: Literal["bench", "store"] | None
    """A benchmark, whose forward passes include those that only fill batches; a sealed run, where they are not counted;
    or None where nothing is known."""

    passes_per_second: float | None
    basis: str
    """Where the speed comes from, as a phrase; without one, how to measure it."""

    def seconds(self, spec: CertificationSpec, chunks: Sequence[Chunk], workers: int) -> float | None:
        """Return the wall-clock seconds of that many workers for these chunks; None if the speed is unknown."""
        if self.passes_per_second is None:
            return None
        batches = total_batches(spec, chunks)
        passes = spec.batch_size * batches if self.source == "bench" else total_votes(spec, chunks)
        return passes / self.passes_per_second / max(1, min(workers, batches))


def total_votes(spec: CertificationSpec, chunks: Sequence[Chunk]) -> int:
    """Votes of all images in these chunks."""
    return spec.passes_per_image * sum(len(chunk.indices) for chunk in chunks)


def total_batches(spec: CertificationSpec, chunks: Sequence[Chunk]) -> int:
    """Batches of these chunks. Only the last batch of a chunk may be padded."""
    return sum(batch_count(spec, len(chunk.indices)) for chunk in chunks)


def run_time(spec: CertificationSpec, speed: MeasuredSpeed, workers: int) -> RunTime:
    """How long a whole run takes with that many workers, which share its batches."""
    chunks = all_chunks(spec)
    votes = total_votes(spec, chunks)
    worker_seconds = votes / speed.votes_per_second
    busy = max(1, min(workers, total_batches(spec, chunks)))
    return RunTime(
        images=sum(len(chunk.indices) for chunk in chunks),
        votes=votes,
        workers=busy,
        seconds=worker_seconds / busy,
        gpu_hours=worker_seconds / 3600.0 if spec.device == "cuda" else None,
    )


def save_speed(home: Path, header: CheckpointHeader, spec: CertificationSpec, speed: MeasuredSpeed) -> None:
    """Keep a measured speed in its file. Raises OSError when the file cannot be written."""
    record = SpeedRecord(
        architecture=header.architecture,
        shape=header.shape,
        device=speed.device,
        family=spec.measure.family,
        options=_options(spec),
        passes_per_second=speed.votes_per_second * (1.0 + speed.padding),
        measured_at=datetime.now(UTC),
    )
    folder = home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{record.name}.json", f"{record.canonical_json()}\n".encode())


def load_speeds(home: Path, say: Callable[[str], None]) -> list[SpeedRecord]:
    """All records that can be read. `say` gets a line for each file that cannot."""
    records = []
    for file in sorted((home / "bench").glob("*.json")):
        try:
            records.append(SpeedRecord.from_json(file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, ValidationError):
            say(f"{file} cannot be read as a result of rsbench bench: remove it, and run rsbench bench again")
    return records


def matching_speed(
    records: Iterable[SpeedRecord], architecture: str, shape_CHW: Sequence[int], spec: CertificationSpec
) -> SpeedRecord | None:
    """The record that says most about the speed of a run on this machine.

    That is the record with the run's noise, else the newest with other noise; None if there is none for its network,
    device and options.
    """
    # The machine that starts a run on a Ray cluster may have no GPU. Then no record is from the workers' device.
    if spec.device == "cuda" and not cuda_is_usable():
        return None
    subject = (architecture, tuple(shape_CHW), describe_device(spec.device), _options(spec))
    matching = [r for r in records if (r.architecture, r.shape, r.device, r.options) == subject]
    family = spec.measure.family
    return max(matching, key=lambda record: (record.family == family, record.measured_at), default=None)


def expected_speed(
    records: Sequence[SpeedRecord],
    stored_speed: StoredSpeed,
    architecture: str,
    dataset: ImageDataset,
    spec: CertificationSpec,
) -> ExpectedSpeed:
    """The speed to expect of a run of this architecture: that of a benchmark, else that of the newest sealed run."""
    record = matching_speed(records, architecture, dataset.info.shape, spec)
    if record is not None:
        noise = "" if record.family == spec.measure.family else f", with {record.family} noise"
        basis = f"{architecture}: rsbench bench of {record.measured_at:%Y-%m-%d}{noise}"
        return ExpectedSpeed(architecture, "bench", record.passes_per_second, basis)
    speed = stored_speed(architecture, spec.device)
    if speed is not None:
        return ExpectedSpeed(architecture, "store", speed, f"{architecture}: the newest sealed run of it in this store")
    command = shlex.join(["rsbench", "bench", *_bench_options(architecture, dataset, spec)])
    return ExpectedSpeed(architecture, None, None, f"the speed of {architecture} is not known: run {command}")


def _bench_options(architecture: str, dataset: ImageDataset, spec: CertificationSpec) -> list[str]:
    """Options that make `rsbench bench` measure the speed of such a run."""
    words = ["--dataset", dataset.info.name, "--architecture", architecture, "--batch-size", str(spec.batch_size)]
    words += ["--device", spec.device]
    arithmetic = arithmetic_options(spec.model_copy(update={"mixed_devices": False}))
    is_default_format = architecture_named(architecture).channels_last == spec.channels_last
    return words + [word for word in arithmetic if not (is_default_format and "channels-last" in word)]


def _options(spec: CertificationSpec) -> dict[str, Any]:
    return {name: value for name, value in spec.model_dump(mode="json").items() if name not in _IRRELEVANT}
