"""The images that a stored run is on."""

from functools import cache
from pathlib import Path

from rsbench.data.dataset import ImageDataset
from rsbench.data.registry import load_dataset
from rsbench.errors import UsageError
from rsbench.records import RunRecord


def images_of(run: RunRecord, data_root: Path | None) -> ImageDataset:
    """The data set of a run; an .npz file is looked for in `data_root`.

    Raises UsageError when the images here are others, DataError when they are not here.
    """
    dataset = _load(run.dataset.name, data_root)
    if dataset.info.fingerprint != run.dataset.fingerprint:
        raise UsageError(
            f"the images of {run.dataset.name} here are not those of run {run.fingerprint[:12]}: name the folder that "
            "holds them with --data-root"
        )
    return dataset


@cache
def _load(name: str, data_root: Path | None) -> ImageDataset:
    return load_dataset(str((data_root or Path()) / name) if name.endswith(".npz") else name, data_root)
