"""Datasets that are held in memory: the digits of scikit-learn, Fashion-MNIST, and the base class of these."""

import gzip
import hashlib
import tempfile
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rsbench.data.dataset import ImageDataset, Normalisation, Pixels, check_pixels
from rsbench.errors import DataError
from rsbench.records import DatasetInfo, IntArray


class ArrayDataset(ImageDataset):
    """A dataset of two arrays, or of four where it has training images.

    Raises DataError when a pixel is out of range: all pixels are checked at once, not when an image is certified.
    """

    def __init__(
        self,
        name: str,
        *,
        test: tuple[Pixels, IntArray],
        train: tuple[Pixels, IntArray] | None,
        classes: int,
        q: int | None,
        architecture: str,
        default_images: str = "all",
        default_n: int = 1000,
        published_normalisation: Normalisation | None = None,
    ) -> None:
        self._pixels_NCHW, self.labels_N = test
        self._train = train
        for part, split in (("test", test), ("train", train)):
            if split is not None:
                check_pixels(split[0], q, f"{name}: {part} image", range(len(split[0])))
        _, channels, height, width = self._pixels_NCHW.shape
        self.info = DatasetInfo(
            name=name,
            fingerprint=fingerprint_arrays(q, classes, *(train or ()), *test),
            images=len(self.labels_N),
            classes=classes,
            shape=(channels, height, width),
            q=q,
        )
        self.default_architecture = architecture
        self.default_images = default_images
        self.default_n = default_n
        self.normalisation = _normalisation_of((train or test)[0], q)
        self.published_normalisation = published_normalisation

    def _load(self, indices: Sequence[int]) -> Pixels:
        return self._pixels_NCHW[np.asarray(indices, dtype=np.int64)]

    def training_set(self) -> tuple[Pixels, IntArray] | None:
        return self._train


def fingerprint_arrays(q: int | None, classes: int, *arrays: npt.NDArray[np.generic]) -> str:
    """sha256 over the grid, the number of classes, and the dtype, shape and bytes of every array, in order."""
    digest = hashlib.sha256(f"q={q}|classes={classes}".encode())
    for array in arrays:
        digest.update(f"|{array.dtype.str}{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _normalisation_of(pixels_NCHW: Pixels, q: int | None) -> Normalisation:
    unit_NCHW = pixels_NCHW.astype(np.float64) / (q or 1)
    mean = unit_NCHW.mean(axis=(0, 2, 3))
    # A channel that is the same everywhere has no deviation to divide by.
    std = np.maximum(unit_NCHW.std(axis=(0, 2, 3)), 1e-3)
    # Four digits are enough, and make the normalisation readable in a checkpoint.
    return tuple(round(float(m), 4) for m in mean), tuple(round(float(s), 4) for s in std)


def load_digits() -> ArrayDataset:
    """The 1,797 handwritten digits of scikit-learn: 8×8 pixels k/16, bundled with it, so nothing is downloaded.

    The split never changes: every fourth image of each class, in the bundle's order, is a test image.
    """
    pixels_NCHW, labels_N = _bundled_digits()
    rank_N = np.zeros(len(labels_N), dtype=np.int64)
    for label in range(10):
        members = np.flatnonzero(labels_N == label)
        rank_N[members] = np.arange(len(members))
    test_N = rank_N % 4 == 3
    return ArrayDataset(
        "digits",
        test=(pixels_NCHW[test_N], labels_N[test_N]),
        train=(pixels_NCHW[~test_N], labels_N[~test_N]),
        classes=10,
        q=16,
        architecture="mlp",
        published_normalisation=((0.3049,), (0.3758,)),
    )


def _bundled_digits() -> tuple[npt.NDArray[np.uint8], IntArray]:
    """Pixels and labels of all digits, in the order in which scikit-learn has them."""
    # Importing scikit-learn takes longer than all else that a command does which finds nothing to do.
    package = find_spec("sklearn")
    if package is not None and package.origin is not None:
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            table = np.loadtxt(file, delimiter=",", dtype=np.int64)
            return table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), table[:, -1]
    from sklearn.datasets import load_digits as bundled

    bundle = bundled()
    return bundle.images.astype(np.uint8)[:, None, :, :], bundle.target.astype(np.int64)


_FASHION_MNIST_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip


def load_fashion_mnist(root: Path) -> ArrayDataset:
    """Fashion-MNIST (Xiao et al. 2017): 28×28 grey photographs of clothes, from `root`/FashionMNIST/raw.

    Raises DataError when a file is missing or damaged.
    """
    raw = root / "FashionMNIST" / "raw"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            _unpack_fashion_mnist(raw, Path(scratch) / "FashionMNIST" / "raw")
            test, train = (_fashion_mnist_part(scratch, train=train) for train in (False, True))
    except (ValueError, EOFError, OSError, zlib.error) as error:
        raise DataError(
            f"{raw} does not hold the four files of Fashion-MNIST ({error}): name the folder that holds FashionMNIST "
            "with --data-root, or download it with "
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
        published_normalisation=((0.286,), (0.353,)),
    )


def _unpack_fashion_mnist(raw: Path, target: Path) -> None:
    """Put the unpacked files, which are all that torchvision reads, into a folder that is not the user's."""
    target.mkdir(parents=True)
    for name in _FASHION_MNIST_FILES:
        if (raw / name).is_file():
            (target / name).symlink_to((raw / name).resolve())
        else:
            (target / name).write_bytes(gzip.decompress((raw / f"{name}.gz").read_bytes()))


def _fashion_mnist_part(root: str, *, train: bool) -> tuple[Pixels, IntArray]:
    # Importing torchvision takes a second.
    from torchvision.datasets import FashionMNIST

    damaged = f"the {'train' if train else 't10k'} files are damaged"
    try:
        data = FashionMNIST(root, train=train)
    # torchvision raises these for a damaged file, without naming it.
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ValueError(damaged) from error
    expected = 60_000 if train else 10_000
    if data.data.shape != (expected, 28, 28) or data.targets.shape != (expected,):
        raise ValueError(damaged)
    return data.data.numpy()[:, None, :, :], data.targets.numpy().astype(np.int64)
