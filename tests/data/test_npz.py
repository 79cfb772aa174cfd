"""Datasets in .npz files: what is read, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rsbench.data.in_memory import ArrayDataset
from rsbench.data.npz import load_npz
from rsbench.data.registry import load_dataset
from rsbench.errors import DataError, UsageError

IMAGES = np.arange(4 * 3 * 5 * 5, dtype=np.uint8).reshape(4, 3, 5, 5) % 17
# Of its image, at every pixel.
NUMBER = np.broadcast_to(np.arange(4)[:, None, None, None], IMAGES.shape)
LABELS = np.array([0, 1, 2, 1])
MEAN, STD = np.array([0.5, 0.25, 0.125]), np.array([0.25, 0.5, 1.0])


def write(folder: Path, **changes: npt.NDArray[Any] | int | float | None) -> Path:
    """Write a file with test images and labels; `changes` adds arrays, replaces them, or (None) leaves them out."""
    arrays: dict[str, Any] = {"test_images": IMAGES, "test_labels": LABELS, **changes}
    file = folder / "mine.npz"
    np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    return file


def load(folder: Path, **changes: npt.NDArray[Any] | int | float | None) -> ArrayDataset:
    return load_npz(write(folder, **changes))


def test_eight_bit_images(tmp_path: Path) -> None:
    data = load(tmp_path)
    assert (data.info.name, data.info.q, data.info.classes, data.info.shape) == ("mine.npz", 255, 3, (3, 5, 5))
    assert data.training_set() is None
    np.testing.assert_array_equal(data.pixels([2, 0]), IMAGES[[2, 0]])
    np.testing.assert_array_equal(data.labels_N, LABELS)
    assert data.labels_N.dtype == np.int64


def test_eight_bit_images_on_another_grid(tmp_path: Path) -> None:
    assert load(tmp_path, q=16).info.q == 16
    assert load(tmp_path, q=16).info.fingerprint != load(tmp_path).info.fingerprint


def test_images_on_no_grid(tmp_path: Path) -> None:
    data = load(tmp_path, test_images=IMAGES / 16)
    assert data.info.q is None
    assert data.pixels([0]).dtype == np.float32
    np.testing.assert_allclose(data.pixels([1])[0], IMAGES[1] / 16, rtol=2.0**-24)


def test_training_images(tmp_path: Path) -> None:
    data = load(tmp_path, train_images=IMAGES[:2], train_labels=np.array([4, 0]))
    training = data.training_set()
    assert training is not None
    np.testing.assert_array_equal(training[0], IMAGES[:2])
    np.testing.assert_array_equal(training[1], [4, 0])
    assert data.info.classes == 5


def test_the_normalisation_of_other_networks_is_what_the_file_declares(tmp_path: Path) -> None:
    silent, declared = load(tmp_path), load(tmp_path, mean=MEAN, std=STD.reshape(3, 1, 1))
    assert silent.published_normalisation is None
    assert declared.published_normalisation == ((0.5, 0.25, 0.125), (0.25, 0.5, 1.0))
    # It is not a property of the images, and networks that rsbench trains do not use it.
    assert declared.info == silent.info
    assert declared.normalisation == silent.normalisation


def test_the_number_of_classes_can_exceed_the_labels(tmp_path: Path) -> None:
    assert load(tmp_path, classes=10).info.classes == 10


def test_there_are_at_least_two_classes(tmp_path: Path) -> None:
    assert load(tmp_path, test_labels=np.zeros(4, dtype=np.int64)).info.classes == 2


def test_a_dataset_is_loaded_by_its_path(tmp_path: Path) -> None:
    assert load_dataset(str(write(tmp_path)), None).info.name == "mine.npz"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        load_dataset(str(tmp_path / "none.npz"), None)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown dataset 'mnist': choose from digits"):
        load_dataset("mnist", None)


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04", b"\x80\x04K\x01."])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.npz"
    file.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        load_npz(file)


@pytest.mark.parametrize("position", range(100, 400, 20))
def test_damaged_files_are_refused_or_read_as_they_were(tmp_path: Path, position: int) -> None:
    file = tmp_path / "mine.npz"
    np.savez_compressed(file, test_images=IMAGES, test_labels=LABELS)
    content = bytearray(file.read_bytes())
    content[position] ^= 0xFF
    file.write_bytes(bytes(content))
    try:
        data = load_npz(file)
    except DataError:
        return
    np.testing.assert_array_equal(data.pixels(range(4)), IMAGES)
    np.testing.assert_array_equal(data.labels_N, LABELS)


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((3, 2))])
def test_a_single_array_is_refused(tmp_path: Path, array: npt.NDArray[np.float64]) -> None:
    np.save(tmp_path / "single.npy", array)
    file = (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    with pytest.raises(DataError, match="single array"):
        load_npz(file)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    np.savez(file, test_images=np.array([{}, {}], dtype=object), test_labels=LABELS)
    with pytest.raises(DataError, match="cannot be read"):
        load_npz(file)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"test_images": None}, "lacks test_images"),
        ({"test_labels": None}, "lacks test_labels"),
        ({"test_images": None, "test_labels": None}, "it holds nothing"),
        ({"test_images": IMAGES[0]}, "N×C×H×W"),
        ({"test_images": IMAGES[:0], "test_labels": LABELS[:0]}, "N×C×H×W"),
        ({"test_images": IMAGES[:, :, :0]}, "N×C×H×W"),
        ({"test_images": IMAGES.astype(np.int64)}, "uint8 or float"),
        ({"test_images": IMAGES.astype(str)}, "uint8 or float"),
        ({"test_labels": LABELS[:3]}, "one integer for each of the 4"),
        ({"test_labels": LABELS[:, None]}, "one integer for each of the 4"),
        ({"test_labels": LABELS.astype(np.float64)}, "one integer for each of the 4"),
        ({"test_labels": np.array([0, -1, 1, 0])}, "negative label -1"),
        ({"q": 15}, r"mine.npz: test image 0 has a pixel of 16, and pixels must lie in 0\.\.15: set q to the largest"),
        ({"q": 0}, "whole number ≥ 1"),
        ({"q": -3}, "whole number ≥ 1"),
        ({"q": 16.5}, "whole number ≥ 1"),
        ({"q": np.array([16, 16])}, "whole number ≥ 1"),
        ({"classes": 2}, "label 2 is outside the 2 classes"),
        ({"classes": 1}, "whole number ≥ 2"),
        (
            {"test_images": IMAGES / 16, "q": 16},
            "q says that pixels are whole numbers k of k/q, and test_images holds float64",
        ),
        (
            {"test_images": IMAGES / 15},
            r"test image 0 has a pixel of 1.0666667, and pixels must lie in \[0,1\]: divide",
        ),
        ({"test_images": IMAGES / 16 - 0.1}, r"test image 0 has a pixel of -0.1, and pixels must lie in \[0,1\]"),
        ({"test_images": np.where(NUMBER == 2, np.nan, IMAGES / 16)}, "test image 2 has a pixel of nan"),
        ({"test_images": np.where(NUMBER == 3, 1e300, IMAGES / 16)}, "test image 3 has a pixel of inf"),
        ({"test_images": np.where(NUMBER == 3, 1.000001, IMAGES / 16)}, "test image 3 has a pixel of 1.000001"),
        (
            {"train_images": IMAGES + NUMBER.astype(np.uint8), "train_labels": LABELS, "q": 18},
            "train image 3 has a pixel of 19",
        ),
        ({"train_images": IMAGES}, "train_labels must hold"),
        ({"train_images": IMAGES[:, :1], "train_labels": LABELS}, "train images have the shape"),
        ({"train_images": IMAGES / 16, "train_labels": LABELS}, "both be uint8 or both be float"),
        ({"train_images": (IMAGES / 16).astype(np.float32), "train_labels": LABELS}, "both be uint8 or both be float"),
        ({"train_images": IMAGES // 16, "train_labels": LABELS, "test_images": IMAGES / 16}, "both be uint8"),
        ({"train_images": IMAGES, "train_labels": LABELS + 1, "classes": 3}, "label 3 is outside the 3 classes"),
        ({"mean": MEAN}, "has only one of mean and std: add std, or leave both out"),
        ({"std": STD}, "has only one of mean and std: add mean, or leave both out"),
        ({"mean": MEAN[:2], "std": STD}, "mean must hold a finite number for each of the 3 channels"),
        ({"mean": MEAN, "std": 0.25}, "std must hold a finite number for each of the 3 channels"),
        ({"mean": MEAN, "std": np.array([0.25, np.nan, 0.25])}, "std must hold a finite number"),
        ({"mean": np.array(["a", "b", "c"]), "std": STD}, "mean must hold a finite number"),
        ({"mean": MEAN, "std": np.array([0.25, 0.0, 0.25])}, "std must be positive, got 0"),
    ],
)
def test_arrays_of_another_form_are_refused(tmp_path: Path, changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        load(tmp_path, **changes)


def test_a_value_too_large_for_float32_gives_no_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(DataError):
        load(tmp_path, test_images=IMAGES * 1e300)
    assert not recwarn.list
