"""One table of per-image certificates, as released code of the field writes it.

    idx  label  predict  radius  correct  time      (and maybe sigma; between tabs, found by their names)

`predict` is −1 and `radius` 0 where the smoothed classifier abstained. Shapes: N rows, M distinct printed radii.
"""

import csv
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd

from rsbench.errors import DataError
from rsbench.foreign.printed_radii import PrintedNumber, parse_radius
from rsbench.records import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from rsbench.foreign.known_datasets import ImportedDataset

_NEEDED = ("idx", "label", "predict", "radius")
_WHOLE = ("idx", "label", "predict", "correct")
_READ = (*_WHOLE, "radius", "sigma")


@dataclass(frozen=True, eq=False)
class Table:
    """The rows of a file, by image index. `radius_M[radius_N]` are their radii, `text_M` as they stand there.

    `predicted_N` is −1 on abstention. `sigma_N` is None where the file has no such column.
    """

    file: Path
    sha256: str
    index_N: IntArray
    label_N: IntArray
    predicted_N: IntArray
    radius_N: IntArray
    radius_M: tuple[PrintedNumber, ...]
    text_M: tuple[str, ...]
    sigma_N: FloatArray | None


def looks_like_table(file: Path) -> bool:
    """Whether a file is empty or its first line has tabs. What else lies in a folder of results is none of ours."""
    with file.open("rb") as opened:
        first = opened.readline(10_000)
    return not first or b"\t" in first


def read_table(file: Path, dataset: "ImportedDataset") -> Table | None:
    """The rows of a file, checked one by one; None when it has none.

    Raises DataError, naming the line and the value, when a line is cut off or says what cannot be.
    """
    content = file.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    content = content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if not content.strip():
        return None
    header = _header(file, content)
    body = content.rstrip(b"\n")
    if b"\n" not in body:
        return None
    _check_every_line_is_whole(file, body, header, ended=body != content)
    content = body + b"\n"
    frame = _frame(content, header, {"radius": str})
    whole = {name: frame[name].to_numpy() for name in _WHOLE if name in header}
    if any(column.dtype != np.int64 for column in whole.values()):
        _refuse_first_broken_number(file, _frame(content, header, str))
    codes, texts = pd.factorize(frame["radius"])
    table = Table(
        file,
        sha256,
        index_N=whole["idx"],
        label_N=whole["label"],
        predicted_N=whole["predict"],
        radius_N=np.asarray(codes, dtype=np.int64),
        radius_M=_radii(file, [str(text) for text in texts], codes),
        text_M=tuple(map(str, texts)),
        sigma_N=_sigmas(file, frame["sigma"]) if "sigma" in header else None,
    )
    _check(table, whole.get("correct"), dataset)
    return _by_index(table)


def _header(file: Path, content: bytes) -> list[str]:
    """The names of the columns. Raises DataError when the line is no header, or names a needed column not once."""
    first = content.split(b"\n", 1)[0].decode(errors="replace")
    header = [name.strip() for name in first.split("\t")]
    shown = first.expandtabs(1)[:80]
    if not set(header) & set(_READ):
        raise DataError(f"{file}: line 1 is no header: it must name the columns {', '.join(_NEEDED)}, got {shown!r}")
    if missing := [name for name in _NEEDED if name not in header]:
        raise DataError(f"{file}: line 1 names no column {missing[0]}: the columns between tabs are {shown!r}")
    if twice := [name for name in header if header.count(name) > 1]:
        raise DataError(f"{file}: line 1 names the column {twice[0]!r} twice: leave one")
    return header


def _check_every_line_is_whole(file: Path, body: bytes, header: list[str], *, ended: bool) -> None:
    """Raises DataError for a line with more or fewer fields than the header: a reader would fill or shift them.

    ended: whether a line break ends the last line. Without one its last field may be a part of what was meant.
    """
    byte = np.frombuffer(body, dtype=np.uint8)
    ends = np.append(np.flatnonzero(byte == ord("\n")), len(byte))
    tabs_by_line = np.diff(np.searchsorted(np.flatnonzero(byte == ord("\t")), ends), prepend=0)
    wrong = np.flatnonzero(tabs_by_line != len(header) - 1)
    if wrong.size:
        line = int(wrong[0])
        fields = int(tabs_by_line[line]) + 1
        text = body.split(b"\n", line + 1)[line].decode(errors="replace").expandtabs(1)[:60]
        what = "it is cut off" if fields < len(header) else "it has too many"
        raise DataError(
            f"{file}: line {line + 1} has {fields} of {len(header)} fields, {text!r}: {what}; get the whole file, or "
            "remove the line"
        )
    if not ended and header[-1] in _READ:
        raise DataError(
            f"{file}: line {len(ends)} has no line break after its {header[-1]}, so it may be cut off: get the whole "
            "file, or end the line if it is whole"
        )


def _frame(content: bytes, header: list[str], types: Any) -> pd.DataFrame:
    return pd.read_csv(
        io.BytesIO(content),
        sep="\t",
        lineterminator="\n",
        header=0,
        names=header,
        usecols=[name for name in header if name in _READ],
        dtype=types,
        index_col=False,
        na_filter=False,
        quoting=csv.QUOTE_NONE,
        skip_blank_lines=False,
        low_memory=False,
        encoding_errors="replace",
    )


def _refuse_first_broken_number(file: Path, text: pd.DataFrame) -> NoReturn:
    for name in _WHOLE:
        for row, field in enumerate(text.get(name, ())):
            if not re.fullmatch(r"-?[0-9]{1,18}", field):
                _refuse(file, row, f"{name} {field!r} is not a whole number")
    raise DataError(f"{file}: a column of whole numbers holds something else: write plain digits")


def _sigmas(file: Path, column: "pd.Series[float]") -> FloatArray:
    sigma_N = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~((sigma_N > 0.0) & (sigma_N < np.inf)))
    if wrong.size:
        row = int(wrong[0])
        _refuse(file, row, f"sigma {str(column.iloc[row])!r} is not a positive number")
    return sigma_N


def _radii(file: Path, texts: list[str], codes: "np.typing.NDArray[np.intp]") -> tuple[PrintedNumber, ...]:
    numbers = []
    for code, text in enumerate(texts):
        number = parse_radius(text)
        if number is None:
            row = int(np.flatnonzero(codes == code)[0])
            _refuse(file, row, f"radius {text!r} is not a decimal number in 0..999,999")
        numbers.append(number)
    return tuple(numbers)


def _check(table: Table, correct_N: IntArray | None, dataset: "ImportedDataset") -> None:
    """Raises DataError for the first row that says what cannot be."""
    index_N, label_N, predicted_N = table.index_N, table.label_N, table.predicted_N
    images, classes = dataset.images or 2**31, dataset.classes
    positive_M = np.array([number.mantissa > 0 for number in table.radius_M])
    checks: list[tuple[BoolArray, str]] = [
        (index_N < 0, "idx {idx} is negative"),
        (index_N >= images, f"idx {{idx}} is beyond the {images:,} images of {dataset.name}"),
        (pd.Series(index_N).duplicated().to_numpy(), "idx {idx} stands in the file twice"),
        (
            (label_N < 0) | (label_N >= classes),
            f"label {{label}} is outside 0..{classes - 1}, the classes of {dataset.name}",
        ),
        (
            (predicted_N < -1) | (predicted_N >= classes),
            f"predict {{predict}} is outside −1..{classes - 1}, the classes of {dataset.name}",
        ),
        (
            (predicted_N == -1) & positive_M[table.radius_N],
            "radius {radius} beside predict -1: an abstention certifies nothing",
        ),
    ]
    if correct_N is not None:
        contradicts_N = correct_N != (predicted_N == label_N)
        checks.append((contradicts_N, "correct {correct} contradicts label {label} and predict {predict}"))
    for wrong_N, what in checks:
        if wrong_N.any():
            row = int(np.flatnonzero(wrong_N)[0])
            values = {"idx": index_N[row], "label": label_N[row], "predict": predicted_N[row]}
            correct = None if correct_N is None else correct_N[row]
            _refuse(table.file, row, what.format(**values, radius=table.text_M[table.radius_N[row]], correct=correct))


def _by_index(table: Table) -> Table:
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


def _refuse(file: Path, row: int, what: str) -> NoReturn:
    """Raises DataError. Row 0 of the data is line 2 of the file."""
    raise DataError(f"{file}: line {row + 2}: {what}: correct the file or leave it out")
