"""Checkpoint files: where they lie, how an external one gets a header, and whether one suits a data set."""

from dataclasses import dataclass
from pathlib import Path

import torch

from rsbench.atomic_files import write_atomically
from rsbench.data.dataset import ImageDataset
from rsbench.errors import CheckpointError, UsageError
from rsbench.methods import measure_for, method_named
from rsbench.models.architectures import architecture_named
from rsbench.models.checkpoint import Checkpoint, safetensors_header
from rsbench.records import CheckpointRecord, DatasetInfo
from rsbench.specs import CheckpointHeader
from rsbench.store.store import Store


@dataclass(frozen=True)
class CheckpointDescription:
    """What the user says about a checkpoint. None: nothing."""

    method: str | None = None
    sigma: float | None = None
    architecture: str | None = None
    offsets_seed: int | None = None


def record_checkpoint(store: Store, checkpoint: Checkpoint, path: str, info: DatasetInfo) -> None:
    """Register a checkpoint that is used on a dataset, and the path of its file."""
    store.record_checkpoint(
        checkpoint.sha256, path=path, header=checkpoint.header, dataset_fingerprint=info.fingerprint
    )


def save_checkpoint(checkpoint: Checkpoint, home: Path) -> Path:
    """Write a checkpoint under its sha256, whole or not at all, and return its path."""
    folder = home / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{checkpoint.sha256}.safetensors"
    write_atomically(target, checkpoint.content)
    return target


def find_checkpoint_file(sha256: str, recorded: str, home: Path) -> Path | None:
    """The file of a known checkpoint: in this home, or where it was last seen; None when it is gone."""
    for candidate in (home / "checkpoints" / f"{sha256}.safetensors", Path(recorded)):
        if candidate.is_file():
            return candidate
    return None


def load_registered(record: CheckpointRecord, home: Path) -> Checkpoint:
    """A checkpoint that the store knows. Raises CheckpointError when its file is gone or was changed."""
    file = find_checkpoint_file(record.sha256, record.path, home)
    if file is None:
        raise CheckpointError(
            f"checkpoint {record.sha256[:12]} is gone from {record.path}: give its file with --checkpoint"
        )
    content = file.read_bytes()
    checkpoint = Checkpoint(content, record.header)
    if checkpoint.sha256 != record.sha256:
        raise CheckpointError(f"{file} no longer holds checkpoint {record.sha256[:12]}: restore the file")
    return checkpoint


def load_file(file: Path, dataset: ImageDataset, description: CheckpointDescription) -> Checkpoint:
    """A checkpoint from a file, our own or description.

    Raises CheckpointError when it cannot be read or does not suit the data set, UsageError when an external one comes
    without method and sigma.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror})") from error
    if safetensors_header(content).get("rsbench") is not None:
        checkpoint = Checkpoint.parse(content, str(file))
    else:
        checkpoint = Checkpoint(content, external_header(str(file), dataset, description))
    # Weights that do not fit are told now, before a run is begun.
    checkpoint.network(torch.device("cpu"))
    return checkpoint


def external_header(name: str, dataset: ImageDataset, description: CheckpointDescription) -> CheckpointHeader:
    """The header of weights on a data set as the user describes them; `name`: what an error calls them.

    Raises UsageError when method or sigma are missing, or anything is unknown.
    """
    if description.method is None or description.sigma is None:
        raise UsageError(
            f"{name} does not say what noise it was trained on: name it with --method and --sigma "
            f"(and --architecture, default {dataset.default_architecture})"
        )
    architecture = description.architecture or dataset.default_architecture
    architecture_named(architecture)
    method = method_named(description.method)
    mean, std = dataset.normalisation
    return CheckpointHeader(
        architecture=architecture,
        classes=dataset.info.classes,
        shape=dataset.info.shape,
        mean=mean,
        std=std,
        dataset=dataset.info.name,
        dataset_fingerprint=dataset.info.fingerprint,
        method=method.training,
        measure=measure_for(method, description.sigma, q=dataset.info.q, offsets_seed=description.offsets_seed or 0),
    )


def check_suits(checkpoint: Checkpoint, dataset: ImageDataset, description: CheckpointDescription) -> None:
    """Raises CheckpointError when a checkpoint belongs to another data set, method or sigma than asked for."""
    header, info = checkpoint.header, dataset.info
    name = f"checkpoint {checkpoint.sha256[:12]}"
    if header.dataset_fingerprint != info.fingerprint:
        raise CheckpointError(
            f"{name} belongs to {header.dataset} ({header.dataset_fingerprint[:12]}), not to {info.name} "
            f"({info.fingerprint[:12]}): give a checkpoint of this data set, or the other --dataset"
        )
    check_described(checkpoint, description)


def check_described(checkpoint: Checkpoint, description: CheckpointDescription) -> None:
    """Raises CheckpointError when a checkpoint is not what the user says of it."""
    header, name = checkpoint.header, f"checkpoint {checkpoint.sha256[:12]}"
    if description.architecture is not None and description.architecture != header.architecture:
        raise CheckpointError(
            f"{name} is a {header.architecture}, not a {description.architecture}: leave --architecture out"
        )
    if description.method is not None and method_named(description.method).training != header.method:
        raise CheckpointError(f"{name} was trained by {header.method}, not by {description.method}: leave --method out")
    if description.sigma is not None and description.sigma != header.measure.sigma:
        raise CheckpointError(
            f"{name} was trained at sigma {header.measure.sigma:g}, not at {description.sigma:g}: leave --sigma out"
        )
    if description.offsets_seed is not None and description.offsets_seed != header.measure.offsets_seed:
        raise CheckpointError(
            f"{name} has the offsets seed {header.measure.offsets_seed}, not {description.offsets_seed}: leave "
            "--offsets-seed out"
        )
