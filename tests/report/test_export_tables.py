"""Frames as files, and the checks of the names of files."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rsbench.errors import UsageError
from rsbench.records import ImageColumns
from rsbench.report.export_tables import TABLE_SUFFIXES, images_frame, table_bytes
from rsbench.report.files import check_free, check_target
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


def test_the_suffix_tells_the_format(tmp_path: Path) -> None:
    assert check_target(tmp_path / "a.CSV", TABLE_SUFFIXES, replace=False) == ".csv"
    with pytest.raises(UsageError, match=r"the suffix '.txt' tells no format: choose .parquet or .csv"):
        check_target(tmp_path / "a.txt", TABLE_SUFFIXES, replace=False)
    with pytest.raises(UsageError, match="no suffix tells no format"):
        check_target(tmp_path / "a", TABLE_SUFFIXES, replace=False)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    check_free(file, replace=False)
    file.write_text("old")
    with pytest.raises(UsageError, match="this file exists: name another, or replace it with --force"):
        check_free(file, replace=False)
    check_free(file, replace=True)
    with pytest.raises(UsageError, match="there is no folder"):
        check_free(tmp_path / "no" / "a.csv", replace=False)
    with pytest.raises(UsageError, match="this is a folder"):
        check_free(tmp_path, replace=True)
