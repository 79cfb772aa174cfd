"""The digits of scikit-learn and Fashion-MNIST, packed or unpacked."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits as bundled

from rsbench.data import in_memory
from rsbench.data.dataset import ImageDataset, unit_images
from rsbench.data.in_memory import ArrayDataset, fingerprint_arrays, load_digits, load_fashion_mnist
from rsbench.data.registry import load_dataset
from rsbench.errors import DataError


@pytest.fixture(scope="module")
def digits() -> ArrayDataset:
    return load_digits()


def test_name_shape_classes_and_size(digits: ArrayDataset) -> None:
    assert digits.info.name == "digits"
    assert digits.info.shape == (1, 8, 8)
    assert digits.info.classes == 10
    assert digits.info.q == 16
    assert digits.info.images == 445


def test_the_fingerprint_never_changes(digits: ArrayDataset) -> None:
    assert digits.info.fingerprint == "a195184521784ed128957c87e96c7102eb3f32c9f96f150ed5483c673231a5c6"
    assert load_dataset("digits", None).info == digits.info


def test_the_split_is_disjoint_and_has_every_image(digits: ArrayDataset) -> None:
    training = digits.training_set()
    assert training is not None
    pixels_NCHW, labels_N = training
    assert len(labels_N) == len(pixels_NCHW) == 1352
    # No two of the 1,797 images are equal: bytes tell them apart.
    test = {image.tobytes() for image in digits.pixels(range(445))}
    train = {image.tobytes() for image in pixels_NCHW}
    every = {image.astype(np.uint8).tobytes() for image in bundled().images}
    assert len(every) == 1797
    assert not test & train
    assert test | train == every


def test_every_fourth_image_of_each_class_is_a_test_image(digits: ArrayDataset) -> None:
    totals = np.bincount(bundled().target)
    np.testing.assert_array_equal(np.bincount(digits.labels_N), totals // 4)


def test_pixels_reach_the_whole_grid(digits: ArrayDataset) -> None:
    pixels_NCHW = digits.pixels(range(445))
    assert pixels_NCHW.dtype == np.uint8
    assert (pixels_NCHW.min(), pixels_NCHW.max()) == (0, 16)
    unit_NCHW = unit_images(pixels_NCHW, 16)
    assert (unit_NCHW.min().item(), unit_NCHW.max().item()) == (0.0, 1.0)


def test_images_are_returned_in_the_order_of_the_indices(digits: ArrayDataset) -> None:
    some = digits.pixels([7, 2, 7])
    np.testing.assert_array_equal(some[0], digits.pixels([7])[0])
    np.testing.assert_array_equal(some[1], digits.pixels([2])[0])
    np.testing.assert_array_equal(some[0], some[2])


def test_normalisation_is_that_of_the_training_images(digits: ArrayDataset) -> None:
    training = digits.training_set()
    assert training is not None
    unit = training[0] / 16
    (mean,), (std,) = digits.normalisation
    # Rounded to four digits.
    assert mean == pytest.approx(unit.mean(), abs=5e-5)
    assert std == pytest.approx(unit.std(), abs=5e-5)
    assert digits.published_normalisation == digits.normalisation


def test_a_fingerprint_depends_on_grid_classes_type_shape_and_content() -> None:
    image = np.arange(8, dtype=np.uint8)
    prints = {
        fingerprint_arrays(255, 10, image),
        fingerprint_arrays(16, 10, image),
        fingerprint_arrays(16, 9, image),
        fingerprint_arrays(None, 10, image),
        fingerprint_arrays(255, 10, image.astype(np.int64)),
        fingerprint_arrays(255, 10, image.reshape(2, 4)),
        fingerprint_arrays(255, 10, image[::-1]),
        fingerprint_arrays(255, 10, image, image),
        fingerprint_arrays(255, 10, image[:4], image[4:]),
    }
    assert len(prints) == 9


def test_a_fingerprint_does_not_depend_on_the_layout_in_memory() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert fingerprint_arrays(16, 10, image) == fingerprint_arrays(16, 10, np.asfortranarray(image))


FASHION_MNIST_FILES = (
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
)


def idx(*shape: int, value: int = 0) -> bytes:
    """An array filled with one byte, in the format of the dataset."""
    head = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
    return head + bytes([value]) * int(np.prod(shape))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with files of the right format: black images, with label 0 in training and 9 in testing."""
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


@pytest.mark.parametrize("missing", FASHION_MNIST_FILES)
def test_a_folder_without_one_of_the_files_is_refused(raw: Path, tmp_path: Path, missing: str) -> None:
    remove(raw, missing)
    with pytest.raises(DataError, match=f"does not hold the four files .*{missing}"):
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
    with pytest.raises(DataError, match="does not hold the four files"):
        load_fashion_mnist(tmp_path)


def test_a_missing_folder_is_refused_with_a_command_that_downloads_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--data-root.*download=True"):
        load_dataset("fashion-mnist", tmp_path)


@pytest.fixture(scope="module")
def real_fashion_mnist(shared_data: Path) -> ImageDataset:
    """The real dataset."""
    source = shared_data / "FashionMNIST" / "raw"
    if not all((source / f"{name}.gz").is_file() for name in FASHION_MNIST_FILES):
        pytest.skip(f"no Fashion-MNIST in {source}")
    return load_dataset("fashion-mnist", shared_data)


def test_the_real_images(real_fashion_mnist: ImageDataset) -> None:
    assert real_fashion_mnist.info.images == 10_000
    assert real_fashion_mnist.info.q == 255
    assert real_fashion_mnist.info.shape == (1, 28, 28)
    np.testing.assert_array_equal(np.bincount(real_fashion_mnist.labels_N), [1000] * 10)
    # The first test image is an ankle boot.
    assert real_fashion_mnist.labels_N[0] == 9
    training = real_fashion_mnist.training_set()
    assert training is not None
    pixels_NCHW, labels_N = training
    assert pixels_NCHW.shape == (60_000, 1, 28, 28)
    np.testing.assert_array_equal(np.bincount(labels_N), [6000] * 10)
    # The mean and standard deviation that are usually quoted.
    (mean,), (std,) = real_fashion_mnist.normalisation
    assert (mean, std) == pytest.approx((0.2860, 0.3530), abs=5e-4)
    assert real_fashion_mnist.published_normalisation == real_fashion_mnist.normalisation
    assert real_fashion_mnist.info.fingerprint == "65de5e9334b7920a7df5c746e32c054d67a4934bd1db1112a7c50145ef2fe9cd"


@pytest.mark.parametrize("has_file", [True, False])
def test_the_digits_are_those_of_scikit_learn(has_file: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read from its file, or by its function where the file is at another place."""
    if not has_file:
        monkeypatch.setattr(in_memory, "find_spec", lambda _: None)
    pixels_NCHW, labels_N = in_memory._bundled_digits()
    bundle = bundled()
    np.testing.assert_array_equal(pixels_NCHW[:, 0], bundle.images)
    np.testing.assert_array_equal(labels_N, bundle.target)
    assert [pixels_NCHW.dtype, labels_N.dtype] == [np.dtype(np.uint8), np.dtype(np.int64)]
