"""Reading one table, and the one-line errors for tables that cannot be read."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from rsbench.errors import DataError
from rsbench.foreign.import_options import KNOWN_DATASETS
from rsbench.foreign.tsv_table import Table, looks_like_table, read_table
from tests.foreign.sample_files import HEADER, ROWS, write_table

CIFAR10 = KNOWN_DATASETS["cifar10"]


def read(file: Path) -> Table:
    table = read_table(file, CIFAR10)
    assert table is not None
    return table


def texts(table: Table) -> list[str]:
    return [table.text_M[m] for m in table.radius_N]


def refusal(file: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_table(file, CIFAR10)
    line = str(caught.value)
    assert "\n" not in line
    assert str(file) in line
    return line


def test_a_table_is_read(tmp_path: Path) -> None:
    table = read(write_table(tmp_path / "t"))
    assert table.index_N.tolist() == [0, 1, 4]
    assert table.label_N.tolist() == [3, 8, 6]
    assert table.predicted_N.tolist() == [-1, 8, 2]
    assert texts(table) == ["0.0", "0.36", "0.457"]
    assert table.sigma_N is None
    assert table.sha256 == hashlib.sha256((tmp_path / "t").read_bytes()).hexdigest()
    assert all(column.dtype == np.int64 for column in (table.index_N, table.label_N, table.predicted_N))


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    file = write_table(tmp_path / "t", ["0.5\tx\t0.25\t2\t7\t1"], header="radius\tnote\tsigma\tlabel\tidx\tpredict")
    table = read(file)
    assert (table.index_N.tolist(), table.label_N.tolist(), table.predicted_N.tolist()) == ([7], [2], [1])
    assert table.sigma_N is not None
    assert table.sigma_N.tolist() == [0.25]


def test_rows_are_put_in_the_order_of_the_images(tmp_path: Path) -> None:
    table = read(write_table(tmp_path / "t", [ROWS[2], ROWS[0], ROWS[1]]))
    assert table.index_N.tolist() == [0, 1, 4]
    assert texts(table) == ["0.0", "0.36", "0.457"]


@pytest.mark.parametrize("change", [lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t, lambda t: t + "\n\n"])
def test_line_endings_byte_order_marks_and_empty_last_lines_do_not_matter(tmp_path: Path, change: "type[str]") -> None:
    file = write_table(tmp_path / "t")
    file.write_bytes(change(file.read_text(encoding="utf-8")).encode())
    assert texts(read(file)) == ["0.0", "0.36", "0.457"]


def test_the_last_field_may_be_truncated_only_if_it_is_not_read(tmp_path: Path) -> None:
    assert len(read(write_table(tmp_path / "t", end="")).index_N) == 3
    rows = [row.rsplit("\t", 2)[0] for row in ROWS]
    header = HEADER.rsplit("\t", 2)[0]
    assert len(read(write_table(tmp_path / "u", rows, header=header)).index_N) == 3
    line = refusal(write_table(tmp_path / "u", rows, header=header, end=""))
    assert "line 4 has no line break after its radius, so it may be cut off" in line


@pytest.mark.parametrize("content", ["", "\n", f"{HEADER}\n", HEADER])
def test_a_file_without_rows_has_no_table(tmp_path: Path, content: str) -> None:
    (tmp_path / "t").write_text(content)
    assert read_table(tmp_path / "t", CIFAR10) is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("2\t3\t3", "line 5 has 3 of 6 fields, '2 3 3': it is cut off"),
        ("", "line 5 has 1 of 6 fields, '': it is cut off"),
        ("2\t3\t3\t0.1\t1\t0:00:01\t9", "line 5 has 7 of 6 fields, '2 3 3 0.1 1 0:00:01 9': it has too many"),
        ("-2\t3\t3\t0.1\t1\tt", "line 5: idx -2 is negative"),
        ("10000\t3\t3\t0.1\t1\tt", "line 5: idx 10000 is beyond the 10,000 images of cifar10"),
        ("1\t3\t3\t0.1\t1\tt", "line 5: idx 1 is in the file twice"),
        ("2.0\t3\t3\t0.1\t1\tt", "line 5: idx '2.0' is not a whole number"),
        ("99999999999999999999\t3\t3\t0.1\t1\tt", "line 5: idx '99999999999999999999' is not a whole number"),
        ("2\tcat\t3\t0.1\t1\tt", "line 5: label 'cat' is not a whole number"),
        ("2\t\t3\t0.1\t1\tt", "line 5: label '' is not a whole number"),
        ("2\t10\t3\t0.1\t0\tt", "line 5: label 10 is outside 0..9, the classes of cifar10"),
        ("2\t3\t-2\t0.1\t0\tt", "line 5: predict -2 is outside −1..9, the classes of cifar10"),
        ("2\t3\t10\t0.1\t0\tt", "line 5: predict 10 is outside −1..9, the classes of cifar10"),
        ("2\t3\t-1\t0.1\t0\tt", "line 5: radius 0.1 with predict -1"),
        ("2\t3\t3\t-0.1\t1\tt", "line 5: radius '-0.1' is not a decimal number in 0..999,999"),
        ("2\t3\t3\tnan\t1\tt", "line 5: radius 'nan' is not a decimal number in 0..999,999"),
        ("2\t3\t3\tinf\t1\tt", "line 5: radius 'inf' is not a decimal number in 0..999,999"),
        ("2\t3\t3\t\t1\tt", "line 5: radius '' is not a decimal number in 0..999,999"),
        ("2\t3\t3\t0.1\t0\tt", "line 5: correct 0 contradicts label 3 and predict 3"),
        ("2\t3\t-1\t0.0\t1\tt", "line 5: correct 1 contradicts label 3 and predict -1"),
    ],
)
def test_an_impossible_row_is_refused_with_its_line_and_value(tmp_path: Path, row: str, message: str) -> None:
    # A valid row follows, so that an empty line is not at the end of the file.
    assert message in refusal(write_table(tmp_path / "t", [*ROWS, row, "9\t0\t0\t0.2\t1\tt"]))


def test_a_missing_header_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("\n".join(ROWS) + "\n")
    line = refusal(tmp_path / "t")
    assert "line 1 is not a header: it must name the columns idx, label, predict, radius, got '0 3 -1 0.0 0" in line


def test_a_missing_or_repeated_column_is_refused(tmp_path: Path) -> None:
    header = HEADER.replace("radius", "correct_too")
    assert "line 1 has no column radius" in refusal(write_table(tmp_path / "t", header=header))
    header = HEADER.replace("time", "label")
    assert "line 1 names the column 'label' twice" in refusal(write_table(tmp_path / "t", header=header))


@pytest.mark.parametrize("value", ["0", "-1", "x", ""])
def test_an_invalid_sigma_is_refused(tmp_path: Path, value: str) -> None:
    file = write_table(tmp_path / "t", [f"0\t1\t1\t0.1\t{value}\tt"], header="idx\tlabel\tpredict\tradius\tsigma\ttime")
    assert "line 2: sigma" in refusal(file)


def test_binary_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(bytes(range(256)) * 10)
    assert "line 1 is not a header" in refusal(tmp_path / "t")


def test_what_looks_like_a_table(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("Results\n")
    (tmp_path / "empty").touch()
    assert not looks_like_table(tmp_path / "README")
    assert looks_like_table(tmp_path / "empty")
    assert looks_like_table(write_table(tmp_path / "t"))
