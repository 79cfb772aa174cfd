"""Read one table of per-image results in the format that released code of the field writes.

    idx  label  predict  radius  correct  time      (optionally sigma)

Columns are separated by tabs and identified by their names. `predict` is −1 and `radius` 0 on abstention.

Shapes: N rows, M distinct printed radii.
"""

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from rsbench.errors import DataError
from rsbench.foreign.import_options import DatasetDescription
from rsbench.foreign.printed_radii import PrintedNumber, parse_radius
from rsbench.records import BoolArray, FloatArray, IntArray

_REQUIRED_COLUMNS = ("idx", "label", "predict", "radius")
_INTEGER_COLUMNS = ("idx", "label", "predict", "correct")
_READ_COLUMNS = (*_INTEGER_COLUMNS, "radius", "sigma")


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a file, in ascending order of the image index."""

    file: Path
    sha256: str
    """SHA-256 of the file's content."""

    index_N: IntArray
    """Index of each image in the test set."""

    label_N: IntArray
    predicted_N: IntArray
    """Predicted class, −1 on abstention."""

    radius_N: IntArray
    """Position of each row's radius in `radius_M`."""

    radius_M: tuple[PrintedNumber, ...]
    """The distinct radii."""

    text_M: tuple[str, ...]
    """The distinct radii as the file prints them."""

    sigma_N: FloatArray | None
    """σ of each row, or None if the file has no such column."""


def looks_like_table(file: Path) -> bool:
    """Return whether a file is empty or has a tab in its first line; other files in a folder of results are ignored."""
    with file.open("rb") as stream:
        first_line = stream.readline(10_000)
    return not first_line or b"\t" in first_line


def read_table(file: Path, dataset: DatasetDescription) -> Table | None:
    """Read and check the rows of a file; return None if it has none.

    Raises DataError, naming the file, the line and the value, when a line is incomplete, a value is not a number of the
    right kind, or a row contradicts itself or the dataset.
    """
    content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if not content.strip():
        return None
    header = _read_header(file, content)
    body = content.rstrip(b"\n")
    if b"\n" not in body:
        return None
    _check_field_counts(file, body, header, ends_with_newline=body != content)
    content = body + b"\n"
    frame = _parse(content, header, {"radius": str})
    integers = {name: frame[name].to_numpy() for name in _INTEGER_COLUMNS if name in header}
    if any(column.dtype != np.int64 for column in integers.values()):
        _refuse_first_non_integer(file, _parse(content, header, str))
    codes, texts = pd.factorize(frame["radius"])
    table = Table(
        file,
        sha256,
        index_N=integers["idx"],
        label_N=integers["label"],
        predicted_N=integers["predict"],
        radius_N=np.asarray(codes, dtype=np.int64),
        radius_M=_parse_radii(file, [str(text) for text in texts], codes),
        text_M=tuple(map(str, texts)),
        sigma_N=_parse_sigmas(file, frame["sigma"]) if "sigma" in header else None,
    )
    _check_rows(table, integers.get("correct"), dataset)
    return _sorted_by_index(table)


def _read_header(file: Path, content: bytes) -> list[str]:
    """Return the column names. Raises DataError when line 1 is not a header, or lacks or repeats a column."""
    first_line = content.split(b"\n", 1)[0].decode(errors="replace")
    header = [name.strip() for name in first_line.split("\t")]
    excerpt = first_line.expandtabs(1)[:80]
    if not set(header) & set(_READ_COLUMNS):
        raise DataError(
            f"{file}: line 1 is not a header: it must name the columns {', '.join(_REQUIRED_COLUMNS)}, got {excerpt!r}"
        )
    if missing := [name for name in _REQUIRED_COLUMNS if name not in header]:
        raise DataError(f"{file}: line 1 has no column {missing[0]}: the tab-separated names are {excerpt!r}")
    if repeated := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{file}: line 1 names the column {repeated[0]!r} twice: remove one of them")
    return header


def _check_field_counts(file: Path, body: bytes, header: list[str], *, ends_with_newline: bool) -> None:
    """Raise DataError for a line with more or fewer fields than the header, which pandas would pad or shift.

    ends_with_newline: whether the last line is terminated. If not, its last field may be truncated, which matters if
    that column is read.
    """
    byte = np.frombuffer(body, dtype=np.uint8)
    line_ends = np.append(np.flatnonzero(byte == ord("\n")), len(byte))
    tabs_by_line = np.diff(np.searchsorted(np.flatnonzero(byte == ord("\t")), line_ends), prepend=0)
    wrong = np.flatnonzero(tabs_by_line != len(header) - 1)
    if wrong.size:
        line = int(wrong[0])
        fields = int(tabs_by_line[line]) + 1
        text = body.split(b"\n", line + 1)[line].decode(errors="replace").expandtabs(1)[:60]
        problem = "it is cut off" if fields < len(header) else "it has too many"
        raise DataError(
            f"{file}: line {line + 1} has {fields} of {len(header)} fields, {text!r}: {problem}; get the complete file "
            "or remove the line"
        )
    if not ends_with_newline and header[-1] in _READ_COLUMNS:
        raise DataError(
            f"{file}: line {len(line_ends)} has no line break after its {header[-1]}, so it may be cut off: get the "
            "complete file, or add the line break if the line is complete"
        )


def _parse(content: bytes, header: list[str], types: Any) -> pd.DataFrame:
    return pd.read_csv(
        io.BytesIO(content),
        sep="\t",
        lineterminator="\n",
        header=0,
        names=header,
        usecols=[name for name in header if name in _READ_COLUMNS],
        dtype=types,
        index_col=False,
        na_filter=False,
        quoting=csv.QUOTE_NONE,
        skip_blank_lines=False,
        low_memory=False,
        encoding_errors="replace",
    )


def _refuse_first_non_integer(file: Path, text: pd.DataFrame) -> NoReturn:
    for name in _INTEGER_COLUMNS:
        for row, field in enumerate(text.get(name, ())):
            if not re.fullmatch(r"-?[0-9]{1,18}", field):
                _refuse_row(file, row, f"{name} {field!r} is not a whole number")
    raise DataError(f"{file}: a column of whole numbers has other values: write plain digits")


def _parse_sigmas(file: Path, column: "pd.Series[float]") -> FloatArray:
    sigma_N = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~((sigma_N > 0.0) & (sigma_N < np.inf)))
    if wrong.size:
        row = int(wrong[0])
        _refuse_row(file, row, f"sigma {str(column.iloc[row])!r} is not a positive number")
    return sigma_N


def _parse_radii(file: Path, texts: list[str], codes: "np.typing.NDArray[np.intp]") -> tuple[PrintedNumber, ...]:
    numbers = []
    for code, text in enumerate(texts):
        number = parse_radius(text)
        if number is None:
            row = int(np.flatnonzero(codes == code)[0])
            _refuse_row(file, row, f"radius {text!r} is not a decimal number in 0..999,999")
        numbers.append(number)
    return tuple(numbers)


def _check_rows(table: Table, correct_N: IntArray | None, dataset: DatasetDescription) -> None:
    """Raise DataError for the first row that is impossible for the dataset or contradicts itself."""
    index_N, label_N, predicted_N = table.index_N, table.label_N, table.predicted_N
    images, classes = dataset.images or 2**31, dataset.classes
    is_positive_M = np.array([number.mantissa > 0 for number in table.radius_M])
    checks: list[tuple[BoolArray, str]] = [
        (index_N < 0, "idx {idx} is negative"),
        (index_N >= images, f"idx {{idx}} is beyond the {images:,} images of {dataset.name}"),
        (pd.Series(index_N).duplicated().to_numpy(), "idx {idx} is in the file twice"),
        (
            (label_N < 0) | (label_N >= classes),
            f"label {{label}} is outside 0..{classes - 1}, the classes of {dataset.name}",
        ),
        (
            (predicted_N < -1) | (predicted_N >= classes),
            f"predict {{predict}} is outside −1..{classes - 1}, the classes of {dataset.name}",
        ),
        (
            (predicted_N == -1) & is_positive_M[table.radius_N],
            "radius {radius} with predict -1: an abstention has the radius 0",
        ),
    ]
    if correct_N is not None:
        contradicts_N = correct_N != (predicted_N == label_N)
        checks.append((contradicts_N, "correct {correct} contradicts label {label} and predict {predict}"))
    for violates_N, problem in checks:
        if violates_N.any():
            row = int(np.flatnonzero(violates_N)[0])
            problem = problem.format(
                idx=index_N[row],
                label=label_N[row],
                predict=predicted_N[row],
                radius=table.text_M[table.radius_N[row]],
                correct=None if correct_N is None else correct_N[row],
            )
            _refuse_row(table.file, row, problem)


def _sorted_by_index(table: Table) -> Table:
    order_N = np.argsort(table.index_N)
    return Table(
        table.file,
        table.sha256,
        table.index_N[order_N],
        table.label_N[order_N],
        table.predicted_N[order_N],
        table.radius_N[order_N],
        table.radius_M,
        table.text_M,
        None if table.sigma_N is None else table.sigma_N[order_N],
    )


def _refuse_row(file: Path, row: int, problem: str) -> NoReturn:
    """Raise DataError for a row of the data; row 0 is line 2 of the file."""
    raise DataError(f"{file}: line {row + 2}: {problem}: correct the file or leave it out")
