"""Datasets in .npz files: `test_images`, `test_labels` and, to train on them, `train_images` and `train_labels`."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsbench.data.dataset import Normalisation, Pixels
from rsbench.data.in_memory import ArrayDataset
from rsbench.errors import DataError
from rsbench.records import IntArray

_MOST_CLASSES = 1_000_000

Arrays = dict[str, npt.NDArray[Any]]


def load_npz(file: Path) -> ArrayDataset:
    """The dataset in a file with these arrays:

    test_images, train_images: N×C×H×W, uint8 or float. A uint8 k stands for the pixel k/255, or k/q where the file has
    a scalar `q`. A float is a pixel in [0,1], on no grid.
    test_labels, train_labels: N integers ≥ 0.
    classes: their number. Without it, it is one more than the largest label, and at least two.
    mean, std: one number per channel, the normalisation of other people's networks on these images. They change
    neither the fingerprint nor the networks that rsbench trains.

    The training images and the last three are optional.
    Raises DataError when the file cannot be read or an array is not as described.
    """
    try:
        arrays = _arrays(file)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read as an .npz file: {error}") from error
    q = _grid(file, arrays)
    test = _split(file, "test", arrays, q)
    train = _split(file, "train", arrays, q) if "train_images" in arrays else None
    shape = test[0].shape[1:]
    if train and train[0].shape[1:] != shape:
        raise DataError(f"{file}: train images have the shape {train[0].shape[1:]}, test images {shape}")
    published_normalisation = _published_normalisation(file, arrays, shape[0])
    largest = max(int(labels.max()) for _, labels in filter(None, (test, train)))
    classes = _whole_number(file, "classes", arrays["classes"], 2) if "classes" in arrays else max(largest + 1, 2)
    if classes > _MOST_CLASSES:
        raise DataError(
            f"{file}: {classes:,} classes exceed {_MOST_CLASSES:,}: check that the labels are class numbers"
        )
    if largest >= classes:
        raise DataError(f"{file}: label {largest} is outside the {classes} classes 0..{classes - 1}")
    return ArrayDataset(
        file.name,
        test=test,
        train=train,
        classes=classes,
        q=q,
        architecture="cnn" if min(shape[1:]) >= 16 else "mlp",
        published_normalisation=published_normalisation,
    )


def _arrays(file: Path) -> Arrays:
    loaded = np.load(file, allow_pickle=False)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        raise ValueError("it holds a single array")
    with loaded:
        return dict(loaded)


def _grid(file: Path, arrays: Arrays) -> int | None:
    if missing := {"test_images", "test_labels"} - set(arrays):
        raise DataError(
            f"{file} lacks {' and '.join(sorted(missing))}: it holds {', '.join(sorted(arrays)) or 'nothing'}"
        )
    if arrays["test_images"].dtype != np.uint8:
        if "q" in arrays:
            raise DataError(
                f"{file}: q says that pixels are whole numbers k of k/q, and test_images holds "
                f"{arrays['test_images'].dtype}: store k as uint8, or leave q out"
            )
        return None
    return _whole_number(file, "q", arrays["q"], 1) if "q" in arrays else 255


def _published_normalisation(file: Path, arrays: Arrays, channels: int) -> Normalisation | None:
    if "mean" not in arrays and "std" not in arrays:
        return None
    if missing := {"mean", "std"} - set(arrays):
        raise DataError(f"{file} has only one of mean and std: add {missing.pop()}, or leave both out")
    mean, std = (_numbers_by_channel(file, name, arrays[name], channels) for name in ("mean", "std"))
    if min(std) <= 0.0:
        raise DataError(f"{file}: std must be positive, got {min(std):g}")
    return mean, std


def _numbers_by_channel(file: Path, name: str, values: npt.NDArray[Any], channels: int) -> tuple[float, ...]:
    if values.dtype.kind not in "uif" or values.size != channels or not np.isfinite(values).all():
        raise DataError(
            f"{file}: {name} must hold a finite number for each of the {channels} channels, in units of pixels in "
            f"[0,1], got {values.tolist()}"
        )
    return tuple(float(value) for value in values.ravel())


def _whole_number(file: Path, name: str, value: npt.NDArray[Any], least: int) -> int:
    if value.size != 1 or not np.issubdtype(value.dtype, np.integer) or value.item() < least:
        raise DataError(f"{file}: {name} must be one whole number ≥ {least}, got {value.tolist()}")
    return int(value.item())


def _split(file: Path, part: str, arrays: Arrays, q: int | None) -> tuple[Pixels, IntArray]:
    images, labels = arrays[f"{part}_images"], arrays.get(f"{part}_labels")
    if images.ndim != 4 or images.size == 0:
        raise DataError(f"{file}: {part}_images must be a non-empty array N×C×H×W, got the shape {images.shape}")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise DataError(f"{file}: {part}_images must be uint8 or float, got {images.dtype}")
    if (q is None) == (images.dtype == np.uint8):
        raise DataError(f"{file}: train_images and test_images must both be uint8 or both be float")
    if labels is None or labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"{file}: {part}_labels must hold one integer for each of the {len(images)} images")
    if labels.min() < 0:
        raise DataError(f"{file}: {part}_labels has the negative label {labels.min()}")
    if q is None:
        # A value too large for float32 becomes infinite, and is refused as a pixel outside [0,1].
        with np.errstate(over="ignore"):
            images = images.astype(np.float32)
    return images, labels.astype(np.int64)
