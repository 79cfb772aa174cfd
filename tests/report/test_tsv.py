"""A run as the scripts of the field read it."""

from io import StringIO

import numpy as np
import pandas as pd
import pytest

from rsbench.records import ImageColumns
from rsbench.report.tsv import tsv_text
from tests.report.runs import a_run


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
        # The scripts ask for radius ≥ r, which is right of a closed ball: an open one must be printed below its radius.
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
