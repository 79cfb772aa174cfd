"""From the name on the command line to the data set."""

from pathlib import Path

from rsbench.data.dataset import ImageDataset
from rsbench.errors import DataError, UsageError

NAMES = ("digits", "fashion-mnist", "imagenet")


def load_dataset(name: str, data_root: Path | None) -> ImageDataset:
    """The data set `digits`, `fashion-mnist` or `imagenet`, or your own from the path of an .npz file.

    Raises UsageError for an unknown name, DataError when the data is missing or incomplete.
    """
    # Each import is heavy in its own way, and a command needs one of them.
    if name == "digits":
        from rsbench.data.digits import load_digits

        return load_digits()
    if name.endswith(".npz"):
        from rsbench.data.npz import load_npz

        if not Path(name).is_file():
            raise DataError(f"no file {name}: give the path of an .npz file with test_images and test_labels")
        return load_npz(Path(name))
    if name not in NAMES:
        raise UsageError(f"unknown dataset {name!r}: choose from {', '.join(NAMES)}, or give the path of an .npz file")
    root = data_root or Path("data")
    if name == "fashion-mnist":
        from rsbench.data.fashion_mnist import load_fashion_mnist

        return load_fashion_mnist(root)
    from rsbench.data.imagenet import ImageNet

    return ImageNet(root)
