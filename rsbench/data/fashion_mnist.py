"""Fashion-MNIST (Xiao et al. 2017): 28×28 grey photographs of clothes, through torchvision."""

import gzip
import tempfile
import zlib
from pathlib import Path

import numpy as np

from rsbench.data.dataset import ArrayDataset, Pixels
from rsbench.errors import DataError
from rsbench.records import IntArray

_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def load_fashion_mnist(root: Path) -> ArrayDataset:
    """The full data set from `root`/FashionMNIST/raw. Raises DataError when a file is missing or damaged."""
    raw = root / "FashionMNIST" / "raw"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            _unpack(raw, Path(scratch) / "FashionMNIST" / "raw")
            test, train = _split(scratch, train=False), _split(scratch, train=True)
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"Fashion-MNIST was not found whole under {raw} ({error}): give the folder that holds FashionMNIST with "
            "--data-root, or download it with "
            f"python -c \"from torchvision.datasets import FashionMNIST as F; F('{root}', download=True)\""
        ) from error
    return ArrayDataset(
        "fashion-mnist",
        test=test,
        train=train,
        classes=10,
        q=255,
        architecture="cnn",
        default_images="every:20",
        default_n=10_000,
    )


def _unpack(raw: Path, target: Path) -> None:
    """Lay out the unpacked files, which are all that torchvision reads, without writing into the user's folder."""
    target.mkdir(parents=True)
    for name in _FILES:
        if (raw / name).is_file():
            (target / name).symlink_to((raw / name).resolve())
        else:
            (target / name).write_bytes(gzip.decompress((raw / f"{name}.gz").read_bytes()))


def _split(root: str, *, train: bool) -> tuple[Pixels, IntArray]:
    from torchvision.datasets import FashionMNIST  # takes a second to import, and only this data set needs it

    damaged = f"the {'train' if train else 't10k'} files are damaged"
    try:
        data = FashionMNIST(root, train=train)
    # Of a damaged file torchvision tells no more than that an assertion or a reshaping failed.
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(damaged) from error
    expected = 60_000 if train else 10_000
    if data.data.shape != (expected, 28, 28) or data.targets.shape != (expected,):
        raise ValueError(damaged)
    return data.data.numpy()[:, None, :, :], data.targets.numpy().astype(np.int64)
