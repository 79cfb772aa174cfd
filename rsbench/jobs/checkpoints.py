"""Checkpoint files: where they are, how an external one gets a header, and whether one suits a dataset."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rsbench.atomic_files import write_atomically
from rsbench.data.dataset import ImageDataset, Normalisation
from rsbench.errors import CheckpointError, UsageError
from rsbench.jobs.normalisation import (
    NORMALISATION_FORMS,
    named_normalisations,
    normalisation_advice,
    parse_normalisation,
)
from rsbench.jobs.options import CheckpointDescription
from rsbench.methods import measure_for, method_named
from rsbench.models.architectures import architecture_named, build_backbone, check_outputs, is_buildable
from rsbench.models.checkpoint import BaseClassifier, Checkpoint, headers_of_content, safetensors_header
from rsbench.records import CheckpointRecord, DatasetInfo
from rsbench.specs import CheckpointHeader, normalisation_text
from rsbench.store.store import Store


@dataclass(frozen=True, eq=False)
class CheckpointReference:
    """A base classifier that is loaded when its network is needed, so that many can be planned at once."""

    sha256: str
    header: CheckpointHeader
    path: str
    """Where its file is; empty if it has none."""

    load: Callable[[], BaseClassifier]
    """Returns the classifier. Raises CheckpointError when its file is missing or has changed."""

    @classmethod
    def of(cls, classifier: BaseClassifier, path: str) -> "CheckpointReference":
        """The reference to a classifier that is in memory."""
        return cls(classifier.sha256, classifier.header, path, lambda: classifier)

    @classmethod
    def registered(cls, record: CheckpointRecord, home: Path) -> "CheckpointReference":
        """The reference to a checkpoint of the store."""
        return cls(record.sha256, record.header, record.path, partial(load_registered, record, home))


def record_checkpoint(store: Store, checkpoint: CheckpointReference, info: DatasetInfo) -> None:
    """Register a checkpoint that is used on a dataset, and the path of its file."""
    store.record_checkpoint(
        checkpoint.sha256, path=checkpoint.path, header=checkpoint.header, dataset_fingerprint=info.fingerprint
    )


def checkpoint_path(sha256: str, home: Path) -> Path:
    """The file that `save_checkpoint` writes."""
    return home / "checkpoints" / f"{sha256}.safetensors"


def save_checkpoint(checkpoint: Checkpoint, home: Path) -> Path:
    """Write a checkpoint atomically to a file named after its sha256, and return the path."""
    target = checkpoint_path(checkpoint.sha256, home)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, checkpoint.content)
    return target


def find_checkpoint_file(sha256: str, recorded: str, home: Path) -> Path | None:
    """The file of a registered checkpoint: in `home`, or at the recorded path; None if it is at neither."""
    for candidate in (checkpoint_path(sha256, home), Path(recorded)):
        if candidate.is_file():
            return candidate
    return None


def load_registered(record: CheckpointRecord, home: Path) -> Checkpoint:
    """The checkpoint of a record of the store. Raises CheckpointError when its file is missing or has changed."""
    if not is_buildable(record.header.architecture):
        # Raises what says why.
        build_backbone(record.header.architecture, record.header.classes, record.header.shape)
    file = find_checkpoint_file(record.sha256, record.path, home)
    if file is None:
        raise CheckpointError(
            f"checkpoint {record.sha256[:12]} is no longer at {record.path}: name its file with --checkpoint"
        )
    checkpoint = Checkpoint(read_checkpoint_file(file), record.header)
    if checkpoint.sha256 != record.sha256:
        raise CheckpointError(f"{file} no longer holds checkpoint {record.sha256[:12]}: restore the file")
    return checkpoint


def read_checkpoint_file(file: Path) -> bytes:
    """Return the content of a file. Raises CheckpointError when it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read ({error.strerror})") from error


def load_file(
    file: Path,
    dataset: ImageDataset,
    description: CheckpointDescription,
    registered: Sequence[CheckpointRecord] = (),
    *,
    default_normalisation: Normalisation | None = None,
) -> Checkpoint:
    """The checkpoint in a file, which is in the format of rsbench or external.

    registered: checkpoints that the store has of the dataset. If the file is one of them, the description may leave out
    what was said when it was registered.
    default_normalisation: that of another external file; with None, the description must name one.

    Raises CheckpointError when the file cannot be read or its weights do not fit, and UsageError when the description
    of an external checkpoint is incomplete.
    """
    content = read_checkpoint_file(file)
    if safetensors_header(content).get("rsbench") is not None:
        checkpoint = Checkpoint.parse(content, str(file))
    else:
        header = _registered_header(file, content, dataset, description, registered)
        if header is None:
            header = _described_header(file, content, dataset, description, default_normalisation)
        checkpoint = Checkpoint(content, header)
    import torch

    # Refuse a network that cannot be used before a run is begun.
    network, header = checkpoint.network(torch.device("cpu")), checkpoint.header
    check_outputs(network, header.architecture, header.classes, header.shape)
    return checkpoint


def external_header(
    name: str, dataset: ImageDataset, description: CheckpointDescription, normalisation: Normalisation
) -> CheckpointHeader:
    """The header of weights that were trained on a dataset as the description says. `name`: of their file.

    Raises UsageError when the description lacks the method or sigma, or something in it is unknown.
    """
    if description.method is None or description.sigma is None:
        raise UsageError(
            f"{name} does not say what noise it was trained on: name it with --method and --sigma "
            f"(and --architecture, default {dataset.default_architecture})"
        )
    architecture = description.architecture or dataset.default_architecture
    architecture_named(architecture)
    method = method_named(description.method)
    mean, std = normalisation
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


def _registered_header(
    file: Path,
    content: bytes,
    dataset: ImageDataset,
    description: CheckpointDescription,
    registered: Sequence[CheckpointRecord],
) -> CheckpointHeader | None:
    """The header under which the store has an external file, None if it has none that agrees with the description."""
    headers = [
        header
        for header in headers_of_content(content, {record.sha256: record.header for record in registered})
        if _contradiction(header, dataset, description) is None
    ]
    if len(headers) > 1:
        described = "; ".join(
            f"--method {header.method} --sigma {header.measure.sigma:g} --architecture {header.architecture} "
            f"--normalisation {normalisation_text(header.mean, header.std)}"
            for header in headers
        )
        raise UsageError(f"{file} is registered as {len(headers)} checkpoints: choose one by its options: {described}")
    return headers[0] if headers else None


def _described_header(
    file: Path,
    content: bytes,
    dataset: ImageDataset,
    description: CheckpointDescription,
    default_normalisation: Normalisation | None,
) -> CheckpointHeader:
    if description.normalisation is not None:
        normalisation = parse_normalisation(description.normalisation, dataset)
    elif default_normalisation is not None:
        normalisation = default_normalisation
    else:
        import torch

        without = external_header(str(file), dataset, description, named_normalisations(dataset)["none"])
        network = Checkpoint(content, without).network(torch.device("cpu"))
        check_outputs(network, without.architecture, without.classes, without.shape)
        raise UsageError(
            f"{file} does not say how its network normalises images: give --normalisation {NORMALISATION_FORMS}; "
            f"{normalisation_advice(network, dataset)}"
        )
    return external_header(str(file), dataset, description, normalisation)


def check_suits(
    checkpoint: CheckpointReference | Checkpoint, dataset: ImageDataset, description: CheckpointDescription
) -> None:
    """Raise CheckpointError when a checkpoint is of another dataset, or is not what the user says about it."""
    header, info = checkpoint.header, dataset.info
    if header.dataset_fingerprint != info.fingerprint:
        raise CheckpointError(
            f"checkpoint {checkpoint.sha256[:12]} belongs to {header.dataset} ({header.dataset_fingerprint[:12]}), not "
            f"to {info.name} ({info.fingerprint[:12]}): name a checkpoint of this dataset, or the other --dataset"
        )
    check_described(checkpoint, dataset, description)


def check_described(
    checkpoint: CheckpointReference | Checkpoint, dataset: ImageDataset, description: CheckpointDescription
) -> None:
    """Raise CheckpointError when a checkpoint is not what the user says about it.

    dataset: gives the named normalisations their meaning.
    """
    if (contradiction := _contradiction(checkpoint.header, dataset, description)) is not None:
        raise CheckpointError(f"checkpoint {checkpoint.sha256[:12]} {contradiction}")


def _contradiction(header: CheckpointHeader, dataset: ImageDataset, description: CheckpointDescription) -> str | None:
    """The first thing in which a header and a description differ, as the end of a sentence; None if they agree."""
    if description.architecture not in (None, header.architecture):
        return f"is a {header.architecture}, not a {description.architecture}: leave --architecture out"
    if description.method is not None and method_named(description.method).training != header.method:
        return f"was trained by {header.method}, not by {description.method}: leave --method out"
    if description.sigma not in (None, header.measure.sigma):
        return f"was trained at sigma {header.measure.sigma:g}, not at {description.sigma:g}: leave --sigma out"
    if description.offsets_seed not in (None, header.measure.offsets_seed):
        return (
            f"has the offsets seed {header.measure.offsets_seed}, not {description.offsets_seed}: leave --offsets-seed "
            "out"
        )
    if description.normalisation is not None:
        described = parse_normalisation(description.normalisation, dataset)
        if described != (header.mean, header.std):
            return (
                f"has the normalisation {normalisation_text(header.mean, header.std)}, not "
                f"{normalisation_text(*described)}: leave --normalisation out"
            )
    return None
