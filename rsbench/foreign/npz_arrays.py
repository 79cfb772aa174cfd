"""Read and check the arrays of an .npz file with results; `rsbench.foreign.npz_runs` lists them.

Shapes: N images.
"""

import hashlib
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from rsbench.errors import DataError, UsageError, first_line
from rsbench.records import IntArray

T = TypeVar("T", int, float)

# The exceptions that numpy and the archive readers raise for a damaged file or a damaged header in it.
_READ_ERRORS = (
    *(OSError, ValueError, EOFError, RuntimeError, KeyError, TypeError, SyntaxError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
)


@dataclass(frozen=True, eq=False)
class Arrays:
    """The arrays of a file, with rows in ascending order of the image index."""

    file: Path
    sha256: str
    """SHA-256 of the file's content."""

    index_N: IntArray
    """Index of each image in the test set."""

    label_N: IntArray
    array_by_key: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def of(cls, file: Path) -> "Arrays":
        """Read a file. Raises DataError when it is not an .npz file, or its labels or indices are invalid."""
        content = file.read_bytes()
        arrays = _load(file, content)
        if "labels" not in arrays:
            raise DataError(f"{file} has no array labels: it contains {', '.join(sorted(arrays)) or 'nothing'}")
        label_N = _integers(file, "labels", arrays["labels"])
        if label_N.ndim != 1 or not len(label_N):
            raise DataError(f"{file}: labels must have one class for each image, got the shape {label_N.shape}")
        index_N = _integers(file, "index", arrays.get("index", np.arange(len(label_N))), len(label_N))
        if index_N.min() < 0 or len(np.unique(index_N)) != len(index_N):
            raise DataError(f"{file}: index must have distinct numbers ≥ 0, but one is negative or repeated")
        order_N = np.argsort(index_N)
        sorted_arrays = {
            key: value[order_N] if value.ndim and len(value) == len(order_N) else value for key, value in arrays.items()
        }
        return cls(file, hashlib.sha256(content).hexdigest(), index_N[order_N], label_N[order_N], sorted_arrays)

    def __contains__(self, key: str) -> bool:
        return key in self.array_by_key

    def integers(self, key: str) -> IntArray:
        """Return an array of integers of any shape. Raises DataError when it has other values."""
        return _integers(self.file, key, self.array_by_key[key])

    def integer_column(self, key: str) -> IntArray:
        """Return an array of N integers. Raises DataError when it is something else."""
        return _integers(self.file, key, self.array_by_key[key], len(self.index_N))

    def scalar(self, key: str, flag: str, option: T | None, kind: type[T]) -> T | None:
        """Return a scalar from the file, or the option's value if the file does not have it.

        Raises DataError when the array is not one number, and UsageError when file and option differ.
        """
        if key not in self:
            return option
        value = self.array_by_key[key]
        if value.size != 1 or value.dtype.kind not in ("iu" if kind is int else "iuf"):
            raise DataError(f"{self.file}: {key} must be one {'whole ' if kind is int else ''}number, got {value!r}")
        number = kind(value.item())
        if option is not None and option != number:
            raise UsageError(
                f"{self.file}: {key} is {number:g} in the file and {option:g} by {flag}: correct the wrong one"
            )
        return number

    def refuse(self, problem: str) -> NoReturn:
        """Raise DataError with the file's name."""
        raise DataError(f"{self.file}: {problem}")


def _integers(file: Path, key: str, array: npt.NDArray[Any], rows: int | None = None) -> IntArray:
    """Return an array as int64. Raises DataError unless it has integers below 2³¹, and `rows` of them if given."""
    if array.dtype.kind not in "iu":
        raise DataError(f"{file}: {key} must have whole numbers, got {array.dtype}")
    if rows is not None and array.shape != (rows,):
        raise DataError(
            f"{file}: {key} must have one number for each of the {rows} labels, got the shape {array.shape}"
        )
    if array.size and array.max() >= 2**31:
        raise DataError(f"{file}: {key} has {array.max()}, but numbers must be below 2³¹")
    return array.astype(np.int64)


def _load(file: Path, content: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an .npz file. Raises DataError when it is not one, or needs pickle."""
    try:
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise ValueError("it contains a single array")
        with loaded:
            return dict(loaded)
    except _READ_ERRORS as error:
        raise DataError(f"{file} cannot be read as an .npz file: {first_line(error)}") from error
