"""`rsbench.load_dataset`: the datasets that the commands know."""

from os import PathLike
from pathlib import Path

from rsbench.api.keywords import keyword_errors
from rsbench.data import registry
from rsbench.data.dataset import ImageDataset
from rsbench.plugins import load_plugins


def load_dataset(name: str | PathLike[str], data_root: str | PathLike[str] | None = None) -> ImageDataset:
    """Return a registered dataset by its name, such as `digits` or `imagenet`, or that of an .npz file by its path.

    data_root: the folder that holds the dataset, `./data` if it is left out.
    Raises UsageError for an unknown name, DataError when the data is missing or incomplete.
    """
    with keyword_errors():
        load_plugins()
        return registry.load_dataset(str(name), None if data_root is None else Path(data_root))
