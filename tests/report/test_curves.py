"""Step curves: exact at their points, never above the truth between them."""

import numpy as np
import pytest

from rsbench.errors import UsageError
from rsbench.records import FloatArray
from rsbench.report.curves import CURVE_COLUMNS, MOST_STEPS, curve_frame, mean_points
from rsbench.report.run_facts import curve_of
from rsbench.report.tables import curve_table
from rsbench.theory.metrics import certified_accuracy
from tests.report.runs import STEPS, a_run


def drawn(radii: FloatArray, values: FloatArray, at: FloatArray, ball: str) -> FloatArray:
    """The value that the step curve shows at `at`."""
    if ball == "open":
        return values[np.searchsorted(radii, at, side="right") - 1]
    return values[np.minimum(np.searchsorted(radii, at, side="left"), len(values) - 1)]


def test_an_open_curve_falls_at_its_radii() -> None:
    radii, values = mean_points([a_run([0.25, 0.5, 0.5])], STEPS)
    assert radii.tolist() == [0.0, 0.25, 0.5]
    assert values.tolist() == [0.75, 0.5, 0.0]


def test_a_closed_curve_falls_after_its_radii_and_ends_at_zero() -> None:
    radii, values = mean_points([a_run([0.25, 0.5, 0.5], method="dssn")], STEPS)
    assert radii.tolist() == [0.0, 0.25, 0.5, np.nextafter(0.5, 1.0)]
    assert values.tolist() == [0.75, 0.75, 0.5, 0.0]


@pytest.mark.parametrize("method", ["ssn", "dssn"])
def test_no_correct_image_is_a_curve_at_zero(method: str) -> None:
    radii, values = mean_points([a_run([], method=method)], STEPS)
    assert radii[0] == 0.0
    assert not values.any()


@pytest.mark.parametrize("method", ["ssn", "dssn"])
def test_a_thinned_curve_is_short_and_never_above_the_true_one(method: str) -> None:
    run = a_run(np.random.default_rng(3).uniform(0.0, 2.0, 5000).tolist(), images=6000, method=method)
    radii, values = mean_points([run], STEPS)
    ball = "closed" if method == "dssn" else "open"
    all_radii = STEPS[curve_of(run).id].radius_M
    at = np.sort(np.concatenate([np.linspace(0.0, 2.1, 4001), radii, all_radii]))
    truth = certified_accuracy(all_radii, 6000, at, "closed" if method == "dssn" else "open")
    shown = drawn(radii, values, at, ball)
    assert len(radii) == MOST_STEPS
    assert (shown <= truth).all()
    assert (truth - shown).max() < 0.01
    assert (values[0], values[-1]) == (5000 / 6000, 0.0)


def test_the_mean_of_seeds_is_the_mean_at_every_radius() -> None:
    frame = curve_frame([a_run([0.25], seed=0), a_run([0.5, 0.75], seed=1)], "l1", STEPS)
    assert list(frame.columns) == list(CURVE_COLUMNS)
    mean = frame[frame["line"] == "mean"]
    assert mean[["radius", "certified_accuracy"]].values.tolist() == [
        [0.0, 0.375], [0.25, 0.25], [0.5, 0.125], [0.75, 0.0],
    ]  # fmt: skip
    assert sorted(set(frame["seeds"])) == ["0", "0 1", "1"]


def test_one_seed_is_drawn_once() -> None:
    assert set(curve_frame([a_run([0.25])], "l1", STEPS)["line"]) == {"mean"}


def test_the_norm_filters_and_must_be_known() -> None:
    assert curve_frame([a_run([0.25])], "l2", STEPS).empty
    with pytest.raises(UsageError, match="unknown norm"):
        curve_frame([], "l7", STEPS)


def test_the_table_rounds_down() -> None:
    table = curve_table(curve_frame([a_run([0.12399], images=3)], "l1", STEPS))
    assert table[["Radius", "Certified accuracy (%)"]].values.tolist() == [[0.0, 33.3], [0.123, 0.0]]
