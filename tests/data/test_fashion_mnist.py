"""Fashion-MNIST from the files that torchvision downloads, packed or unpacked."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.data.fashion_mnist import load_fashion_mnist
from rsbench.data.registry import load_dataset
from rsbench.errors import DataError

NAMES = (
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
)


def idx(*shape: int, value: int = 0) -> bytes:
    """An array filled with one byte, in the format of the data set."""
    head = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
    return head + bytes([value]) * int(np.prod(shape))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The raw folder of a data set of the right form: black images, labels 0 in training and 9 in testing."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, count, label in (("t10k", 10_000, 9), ("train", 60_000, 0)):
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(count, 28, 28), 1))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(count, value=label))
    return folder


def remove(raw: Path, name: str) -> None:
    for file in (raw / name, raw / f"{name}.gz"):
        file.unlink(missing_ok=True)


def test_packed_and_unpacked_files_are_read(raw: Path, tmp_path: Path) -> None:
    data = load_fashion_mnist(tmp_path)
    assert data.info.images == 10_000
    assert set(data.labels_N.tolist()) == {9}
    training = data.training_set()
    assert training is not None
    assert training[0].shape == (60_000, 1, 28, 28)
    assert set(training[1].tolist()) == {0}


@pytest.mark.parametrize("missing", NAMES)
def test_a_half_empty_folder_is_refused(raw: Path, tmp_path: Path, missing: str) -> None:
    remove(raw, missing)
    with pytest.raises(DataError, match=f"not found whole .*{missing}"):
        load_fashion_mnist(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0", bytes(100), idx(20, 28, 28), idx(10_000), idx(10_000, 28, 28)[:-1], idx(10_000, 28, 28) + b"\0"],
    ids=["empty", "two bytes", "zeros", "few images", "labels", "cut", "too long"],
)
def test_damaged_files_are_refused(raw: Path, tmp_path: Path, content: bytes) -> None:
    (raw / "t10k-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match="the t10k files are damaged"):
        load_fashion_mnist(tmp_path)


@pytest.mark.parametrize("kept", [0, 5, 500])
def test_damaged_packed_files_are_refused(raw: Path, tmp_path: Path, kept: int) -> None:
    packed = raw / "t10k-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:kept])
    with pytest.raises(DataError, match="not found whole"):
        load_fashion_mnist(tmp_path)


def test_a_missing_folder_is_refused_with_the_way_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-root.*download=True"):
        load_dataset("fashion-mnist", tmp_path)


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> ImageDataset:
    """The real data set."""
    source = shared_data / "FashionMNIST" / "raw"
    if not all((source / f"{name}.gz").is_file() for name in NAMES):
        pytest.skip(f"no Fashion-MNIST in {source}")
    return load_dataset("fashion-mnist", shared_data)


def test_the_real_photographs(photographs: ImageDataset) -> None:
    assert photographs.info.images == 10_000
    assert photographs.info.q == 255
    assert photographs.info.shape == (1, 28, 28)
    np.testing.assert_array_equal(np.bincount(photographs.labels_N), [1000] * 10)
    # The first test image is an ankle boot.
    assert photographs.labels_N[0] == 9
    training = photographs.training_set()
    assert training is not None
    pixels_NCHW, labels_N = training
    assert pixels_NCHW.shape == (60_000, 1, 28, 28)
    np.testing.assert_array_equal(np.bincount(labels_N), [6000] * 10)
    # The mean and standard deviation that are usually quoted.
    (mean,), (std,) = photographs.normalisation
    assert (mean, std) == pytest.approx((0.2860, 0.3530), abs=5e-4)
    assert photographs.info.fingerprint == "65de5e9334b7920a7df5c746e32c054d67a4934bd1db1112a7c50145ef2fe9cd"
