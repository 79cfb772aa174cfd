"""What a stored run was computed from: its images and its checkpoint."""

from functools import cache
from pathlib import Path

from rsbench.data.dataset import ImageDataset
from rsbench.data.registry import load_dataset
from rsbench.errors import CheckpointError, UsageError
from rsbench.jobs.checkpoints import load_registered
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import RunRecord
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store


def dataset_of(run: RunRecord, data_root: Path | None) -> ImageDataset:
    """The dataset of a run. An .npz file is looked for in `data_root`.

    Raises UsageError when the dataset of that name has other images now, DataError when it is missing.
    """
    dataset = _load(run.dataset.name, data_root)
    if dataset.info.fingerprint != run.dataset.fingerprint:
        raise UsageError(
            f"{run.dataset.name} has other images here than in run {run.fingerprint[:12]}: name the folder with the "
            "images of the run with --data-root"
        )
    return dataset


def checkpoint_of(store: Store, home: Path, spec: CertificationSpec) -> Checkpoint:
    """The checkpoint of a run. Raises CheckpointError when the store does not know it, or its file is missing."""
    records = store.checkpoints(sha256_prefix=spec.checkpoint_sha256)
    if not records:
        raise CheckpointError(
            f"checkpoint {spec.checkpoint_sha256[:12]} is not in this store: certify with its file first"
        )
    return load_registered(records[0], home)


@cache
def _load(name: str, data_root: Path | None) -> ImageDataset:
    return load_dataset(str((data_root or Path()) / name) if name.endswith(".npz") else name, data_root)
