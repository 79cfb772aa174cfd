"""The registry of datasets. A plugin adds its own with `DATASETS.register(name, loader)`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rsbench.data.dataset import ImageDataset
from rsbench.errors import DataError, UsageError
from rsbench.plugins import Registry

if TYPE_CHECKING:
    from rsbench.data.imagenet import ImageNet
    from rsbench.data.in_memory import ArrayDataset

# Reads a dataset from the folder of --data-root.
DatasetLoader = Callable[[Path], ImageDataset]

_REQUIRED = ("info", "labels_N", "default_architecture", "normalisation")


# Each import takes a second or two, and a command needs one of them.
def _digits(_root: Path) -> "ArrayDataset":
    from rsbench.data.in_memory import load_digits

    return load_digits()


def _fashion_mnist(root: Path) -> "ArrayDataset":
    from rsbench.data.in_memory import load_fashion_mnist

    return load_fashion_mnist(root)


def _imagenet(root: Path) -> "ImageNet":
    from rsbench.data.imagenet import ImageNet

    return ImageNet(root)


DATASETS: Final[Registry[DatasetLoader]] = Registry(
    "dataset",
    None,
    {"digits": _digits, "fashion-mnist": _fashion_mnist, "imagenet": _imagenet},
)


def load_dataset(name: str, data_root: Path | None) -> ImageDataset:
    """The registered dataset of that name, or that of the .npz file whose path is `name`.

    data_root: the folder that holds it, `data` if None.
    Raises UsageError for an unknown name, DataError when the data is missing or incomplete.
    """
    if name.endswith(".npz"):
        from rsbench.data.npz import load_npz

        if not Path(name).is_file():
            raise DataError(f"there is no file {name}: give the path of an .npz file with test_images and test_labels")
        return load_npz(Path(name))
    if name not in DATASETS:
        raise UsageError(
            f"unknown dataset {name!r}: choose from {', '.join(DATASETS)}, give the path of an .npz file, or load the "
            "plugin that registers it with --plugin"
        )
    dataset = DATASETS[name](data_root or Path("data"))
    _check_dataset(name, dataset)
    return dataset


def _check_dataset(name: str, dataset: object) -> None:
    """Refuse what the loader of a plugin returned if commands would fail on it later."""
    if not isinstance(dataset, ImageDataset):
        raise UsageError(
            f"dataset {name!r}: its loader returned an object of type {type(dataset).__name__}: it must return an "
            "ImageDataset"
        )
    if missing := [attribute for attribute in _REQUIRED if not hasattr(dataset, attribute)]:
        raise UsageError(f"dataset {name!r}: {type(dataset).__name__} does not set {', '.join(missing)}")
    if dataset.info.name != name:
        # A stored run knows its dataset by this name only.
        raise UsageError(
            f"dataset {name!r}: its info.name is {dataset.info.name!r}: give it the name under which it is registered"
        )
    if dataset.labels_N.shape != (dataset.info.images,):
        raise UsageError(
            f"dataset {name!r} has labels of the shape {dataset.labels_N.shape} for {dataset.info.images} images: "
            "labels_N must hold one label for each image"
        )
