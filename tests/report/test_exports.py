"""Exported files: tables, the tab-separated form of the field, and the checks of the names of files."""

from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rsbench.errors import UsageError
from rsbench.records import ImageColumns
from rsbench.report.exports import (
    TABLE_SUFFIXES,
    check_free,
    check_target,
    images_frame,
    table_bytes,
    tsv_text,
)
from tests.report.runs import a_run

IMAGES = ImageColumns(
    index_N=np.array([0, 100, 200]),
    label_N=np.array([3, 1, 4]),
    predicted_N=np.array([3, -1, 2]),
    radius_N=np.array([0.1 + 0.2, 0.0, np.inf]),
)


def test_an_image_is_a_line() -> None:
    run = a_run([0.3], images=3)
    frame = images_frame([(run, IMAGES)])
    assert list(frame.columns) == ["run", "index", "label", "predicted", "radius", "sigma"]
    assert frame["run"].unique().tolist() == [run.fingerprint]
    assert frame["predicted"].isna().tolist() == [False, True, False]
    assert frame["predicted"].dropna().tolist() == [3, 2]
    assert frame["sigma"].isna().all()


def test_a_sigma_that_was_chosen_for_the_image_stands_with_it() -> None:
    chosen = ImageColumns(
        IMAGES.index_N, IMAGES.label_N, IMAGES.predicted_N, IMAGES.radius_N, np.array([0.1, 0.2, 0.3])
    )
    frame = images_frame([(a_run([0.3], images=3), IMAGES), (a_run([0.3], images=3, seed=1), chosen)])
    assert frame["sigma"].isna().tolist() == [True] * 3 + [False] * 3
    assert frame["sigma"].dropna().tolist() == [0.1, 0.2, 0.3]
    assert len(set(frame["run"])) == 2


@pytest.mark.parametrize("suffix", TABLE_SUFFIXES)
def test_a_file_holds_the_frame_to_the_last_bit(suffix: str) -> None:
    frame = images_frame([(a_run([0.3], images=3), IMAGES)])
    content = BytesIO(table_bytes(frame, suffix))
    types = frame.dtypes.to_dict()
    again = pd.read_parquet(content) if suffix == ".parquet" else pd.read_csv(content, dtype=types)
    pd.testing.assert_frame_equal(again, frame, check_exact=True)


def test_the_suffix_gives_the_format(tmp_path: Path) -> None:
    assert check_target(tmp_path / "a.CSV", TABLE_SUFFIXES, replace=False) == ".csv"
    with pytest.raises(UsageError, match=r"the suffix '.txt' is not a known format: choose .parquet or .csv"):
        check_target(tmp_path / "a.txt", TABLE_SUFFIXES, replace=False)
    with pytest.raises(UsageError, match="the file has no suffix"):
        check_target(tmp_path / "a", TABLE_SUFFIXES, replace=False)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    check_free(file, replace=False)
    file.write_text("old")
    with pytest.raises(UsageError, match="this file exists: name another, or replace it with --force"):
        check_free(file, replace=False)
    check_free(file, replace=True)
    with pytest.raises(UsageError, match=r"the folder .* does not exist: create it first"):
        check_free(tmp_path / "no" / "a.csv", replace=False)
    with pytest.raises(UsageError, match="this is a folder"):
        check_free(tmp_path, replace=True)


def columns(radius_N: np.ndarray) -> ImageColumns:
    count = len(radius_N)
    predicted_N = np.where(np.arange(count) % 3 == 1, 1, 0)
    predicted_N[radius_N == 0.0] = -1
    return ImageColumns(np.arange(count), np.zeros(count, dtype=np.int64), predicted_N, radius_N)


def test_the_lines_are_those_of_the_field() -> None:
    images = ImageColumns(
        np.array([0, 20, 40]), np.array([7, 2, 1]), np.array([7, -1, 3]), np.array([0.46449, 0.0, 1.25])
    )
    assert tsv_text(a_run([0.46449], images=3), images) == (
        "idx\tlabel\tpredict\tradius\tcorrect\ttime\n"
        "0\t7\t7\t0.464\t1\t0:00:00\n"
        "20\t2\t-1\t0.0\t0\t0:00:00\n"
        "40\t1\t3\t1.249\t0\t0:00:00\n"
    )


@pytest.mark.parametrize("method", ["ssn", "dssn"])
def test_no_radius_is_printed_above_what_the_ball_holds(method: str) -> None:
    random = np.random.default_rng(5)
    radius_N = np.concatenate(
        [random.uniform(0, 3, 500), np.arange(0, 200) / 16, np.arange(0, 500) / 255, [0.001, 0.0005, np.inf]]
    )
    frame = pd.read_csv(StringIO(tsv_text(a_run([0.5], method=method), columns(radius_N))), delimiter="\t")
    printed_N = frame["radius"].to_numpy()
    assert (printed_N <= radius_N).all()
    finite = np.isfinite(radius_N) & (radius_N > 0)
    if method == "ssn":
        # Scripts count radius ≥ r as certified, as a closed ball does. So an open ball is printed below its radius.
        assert (printed_N[finite] < radius_N[finite]).all()
    else:
        assert (printed_N == radius_N)[radius_N * 8 == np.floor(radius_N * 8)].all()
    # A thousandth, and what a difference of two floats near 3 may be off.
    assert (radius_N[finite] - printed_N[finite] <= 0.001 + 1e-15).all()
    assert (printed_N >= 0).all()


def test_what_is_correct_is_what_predicts_the_label() -> None:
    images = columns(np.array([0.5, 0.25, 0.0, 0.125]))
    frame = pd.read_csv(StringIO(tsv_text(a_run([0.5]), images)), delimiter="\t")
    assert frame["correct"].tolist() == images.correct_N.astype(int).tolist()
    assert frame["predict"].tolist() == images.predicted_N.tolist()
