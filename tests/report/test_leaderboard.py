"""The leaderboard's means, selection and order, against values worked out by hand."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from rsbench.errors import UsageError
from rsbench.records import RunRecord
from rsbench.report.leaderboard import Leaderboard, leaderboard_frame, leaderboard_json
from rsbench.report.numbers import difference_text, percent_down, plain_markdown, radius_text, split_radii
from rsbench.report.ranking import images_label
from rsbench.report.runs import Report, RunFilters
from tests.fixtures.results import DIGITS
from tests.report import runs as made
from tests.report.runs import a_run, an_import


def board_of(*runs: RunRecord, radii: tuple[str, ...] = ("0.5",), norm: str = "l1", best: bool = True) -> Leaderboard:
    return made.board_of(runs, radii, norm=norm, select_best=best, incomplete=2)


def test_a_cell_is_the_mean_over_seeds_with_the_sample_deviation() -> None:
    board = board_of(a_run([0.6, 0.7], seed=0), a_run([0.6, 0.7, 0.8], seed=1))
    (row,) = board.groups[0].rows
    assert row.cells[0].value == 0.625
    assert row.cells[0].spread == pytest.approx(0.125 * 2**0.5)
    assert row.clean.value == 0.625
    assert row.cells[0].configuration.seeds == (0, 1)
    assert row.seeds_label == "2 seeds"


def test_one_seed_has_no_spread() -> None:
    (row,) = board_of(a_run([0.6])).groups[0].rows
    assert row.cells[0].spread is None


@pytest.mark.parametrize(("method", "expected"), [("ssn", 0.25), ("dssn", 0.5)])
def test_an_open_ball_needs_more_than_the_radius_and_a_closed_one_only_the_radius(method: str, expected: float) -> None:
    (row,) = board_of(a_run([0.5, 0.75], method=method)).groups[0].rows
    assert row.cells[0].value == expected


def test_each_radius_takes_its_own_best_sigma_and_says_so() -> None:
    small, large = a_run([0.2, 0.2, 0.2], sigma=0.25), a_run([0.9, 0.9], sigma=1.0)
    board = board_of(small, large, radii=("0.1", "0.5"))
    (row,) = board.groups[0].rows
    assert [cell.configuration.sigma for cell in row.cells] == [0.25, 1.0]
    assert all(cell.sigma_selected for cell in row.all_cells)
    assert board.any_selected


def test_a_tie_goes_to_the_smallest_sigma() -> None:
    (row,) = board_of(a_run([0.9], sigma=1.0), a_run([0.9], sigma=0.5)).groups[0].rows
    assert row.cells[0].configuration.sigma == 0.5


def test_a_single_sigma_is_not_called_selected() -> None:
    assert not board_of(a_run([0.9])).any_selected


def test_rows_stand_best_first_and_later_radii_break_ties() -> None:
    ssn, uniform, dssn = a_run([0.6]), a_run([0.9], method="uniform"), a_run([0.6, 0.6], method="dssn")
    (group,) = board_of(ssn, uniform, dssn, radii=("0.5", "0.8")).groups
    assert [row.entry.method for row in group.rows] == ["dssn", "uniform", "ssn"]


def test_other_data_or_other_images_are_other_groups() -> None:
    other = replace(DIGITS, fingerprint="ab" * 32)
    board = board_of(a_run([0.6]), a_run([0.6], dataset=other), a_run([0.6], chosen="4:8:1"))
    assert len(board.groups) == 3
    assert all(len(group.rows) == 1 for group in board.groups)


def test_other_budgets_are_other_rows_and_never_selected_together() -> None:
    (group,) = board_of(a_run([0.6], n=1000), a_run([0.6, 0.7], n=10_000)).groups
    assert [row.entry.n_estimate for row in group.rows] == [10_000, 1000]
    assert not any(cell.sigma_selected for row in group.rows for cell in row.all_cells)


def test_two_runs_of_one_seed_are_not_averaged() -> None:
    short, long = a_run([0.6], checkpoint="a" * 64), a_run([0.6, 0.7], checkpoint="b" * 64)
    (group,) = board_of(short, long).groups
    assert [(row.entry.variant, row.cells[0].value) for row in group.rows] == [
        ("checkpoint bbbbbbbbbbbb", 0.5),
        ("checkpoint aaaaaaaaaaaa", 0.25),
    ]


def test_other_noise_for_one_checkpoint_is_not_another_seed() -> None:
    first, second = a_run([0.6], checkpoint="a" * 64, seed=0), a_run([0.6], checkpoint="a" * 64, seed=1)
    (group,) = board_of(first, second).groups
    assert {row.entry.variant for row in group.rows} == {f"run {r.fingerprint[:12]}" for r in (first, second)}


def test_runs_count_under_the_seed_of_their_training() -> None:
    runs = [a_run([0.6], seed=0, training_seed=t, checkpoint=str(t) * 64) for t in (1, 2)]
    (row,) = board_of(*runs).groups[0].rows
    assert row.cells[0].configuration.seeds == (1, 2)


def test_all_gives_every_run_its_row() -> None:
    runs = [a_run([0.6], seed=seed, sigma=sigma) for seed in (0, 1) for sigma in (0.5, 1.0)]
    (group,) = board_of(*runs, best=False).groups
    assert len(group.rows) == 4
    assert {row.clean.configuration.runs[0].fingerprint for row in group.rows} == {run.fingerprint for run in runs}


def test_a_norm_shows_the_certificates_that_hold_in_it() -> None:
    runs = [a_run([0.6], method=method) for method in ("cohen", "ssn")]
    methods = {norm: [r.entry.method for r in board_of(*runs, norm=norm).groups[0].rows] for norm in ("l1", "l2")}
    assert methods == {"l1": ["cohen", "ssn"], "l2": ["cohen"]}


def test_the_frame_is_tidy_and_in_full_precision() -> None:
    runs = [a_run([0.6], images=3), a_run([0.6], images=3, method="dssn")]
    frame = leaderboard_frame(board_of(*runs, radii=("0.5", "0.7")))
    assert frame[["method", "radius", "certified_accuracy"]].values.tolist() == [
        ["dssn", "0.5", 1 / 3], ["dssn", "0.7", 0.0], ["ssn", "0.5", 1 / 3], ["ssn", "0.7", 0.0],
    ]  # fmt: skip
    assert frame["n_estimate"].isna().tolist() == [True, True, False, False]
    assert list(leaderboard_frame(board_of()).columns) == list(frame.columns)


def test_the_json_has_a_schema_and_survives_a_round_trip() -> None:
    document = leaderboard_json(board_of(a_run([0.6], abstained=1), a_run([0.6], method="dssn")))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert (document["schema"], document["incomplete_runs"]) == (1, 2)
    exact, sampled = document["groups"][0]["rows"]
    assert exact["budget"] is None
    assert sampled["budget"] == {"n_select": 100, "n_estimate": 1000, "failure_probability": 0.001}
    assert sampled["clean_accuracy"]["abstention_rate"] == 0.25


@pytest.mark.parametrize("radius", ["-1", "nan", "abc", "", "1e999999999", "0.5 0.6", "inf"])
def test_a_bad_radius_is_one_line(radius: str) -> None:
    with pytest.raises(UsageError, match="is not a radius"):
        board_of(radii=(radius,))


def test_bad_norms_and_missing_radii_are_one_line() -> None:
    with pytest.raises(UsageError, match="unknown norm 'l3'"):
        board_of(norm="l3")
    with pytest.raises(UsageError, match="no radius given"):
        board_of(radii=())


def test_a_run_whose_certificate_is_not_known_here_is_named_and_the_others_are_ranked() -> None:
    unknown, known = a_run([0.6], certificate="tomorrow"), a_run([0.6], sigma=1.0)
    for norm, rows in (("l1", 1), ("l2", 0)):
        board = board_of(unknown, known, norm=norm)
        assert sum(len(group.rows) for group in board.groups) == rows
        (line,) = board.excluded
        assert line == (
            f"run {unknown.fingerprint[:12]} (ssn, σ 0.5) is not ranked: certificate 'tomorrow' is not known here: "
            "install the package that adds it, or load its plugin with --plugin"
        )
        assert leaderboard_json(board)["excluded_from_ranking"] == list(board.excluded)


def test_an_infinite_average_radius_is_a_string_in_json() -> None:
    document = leaderboard_json(board_of(a_run([np.inf])))
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["groups"][0]["rows"][0]["average_certified_radius"]["value"] == "Infinity"


def test_radii_are_split_and_repetitions_dropped() -> None:
    assert split_radii(" 0.5,1, 0.50,,1.5 ") == ("0.5", "1", "1.5")


@pytest.mark.parametrize(
    ("share", "shown"), [(0.29, "29.0"), (2 / 3, "66.6"), (0.9999, "99.9"), (1.0, "100.0"), (0.0, "0.0")]
)
def test_percent_is_rounded_down_and_exact_where_it_can_be(share: float, shown: str) -> None:
    assert percent_down(share) == shown


@pytest.mark.parametrize(
    ("canonical", "count", "label"),
    [
        ("0:445:1", 445, "all 445 images"),
        ("0:100:1", 100, "first 100 images"),
        ("0:401:100", 5, "every 100th image (5 images)"),
        ("0:301:100", 4, "every 100th image from 0 to 300"),
        ("0:445:2", 225, "every 2nd image (225 images)"),
        ("10:20:1", 10, "images 10 to 19"),
        ("7:8:1", 1, "image 7 alone"),
        ("1,2,5", 3, "3 listed images"),
    ],
)
def test_images_in_words(canonical: str, count: int, label: str) -> None:
    assert images_label(canonical, count, 445) == label


def test_markdown_is_escaped() -> None:
    assert plain_markdown("![a](b)") == r"\!\[a\]\(b\)"


def test_seeds_of_two_training_recipes_are_two_rows() -> None:
    runs = [
        a_run([0.6] * epochs, seed=seed, epochs=epochs, checkpoint=f"{epochs}{seed}")
        for epochs in (1, 3)
        for seed in (0, 1)
    ]
    board = board_of(*runs)
    assert [row.cells[0].configuration.seeds for row in board.groups[0].rows] == [(0, 1), (0, 1)]
    assert [row.entry.variant for row in board.groups[0].rows] == ["epochs 3", "epochs 1"]
    (alone,) = board_of(*runs[:2]).groups[0].rows
    assert alone.entry.variant == ""


def test_external_checkpoints_are_never_averaged() -> None:
    runs = [a_run([0.6], seed=seed, external=True) for seed in (0, 1)]
    assert [len(row.cells[0].configuration.runs) for row in board_of(*runs).groups[0].rows] == [1, 1]


def test_runs_with_another_batch_size_are_not_averaged() -> None:
    runs = [a_run([0.6], seed=seed, checkpoint=f"{seed}", batch_size=size) for seed, size in ((0, 64), (1, 128))]
    rows = board_of(*runs).groups[0].rows
    assert [len(row.cells[0].configuration.runs) for row in rows] == [1, 1]
    assert sorted(row.entry.variant for row in rows) == ["batch 128", "batch 64"]


def test_runs_at_another_sigma_than_that_of_the_training_are_rows_of_their_own() -> None:
    usual = a_run([0.6], sigma=0.5)
    others = [a_run([0.7], sigma=sigma, training_sigma=0.5, checkpoint=usual.checkpoint_sha256) for sigma in (0.25, 1)]
    rows = board_of(usual, *others).groups[0].rows
    assert {row.entry.label: len({c.configuration.sigma for c in row.all_cells}) for row in rows} == {
        "": 1,
        "trained at σ = 0.5": 1,
    }
    assert {row.entry.label: row.cells[0].sigma_selected for row in rows} == {"": False, "trained at σ = 0.5": True}


def test_noise_in_whole_numbers_and_in_float32_have_rows_and_threat_models_of_their_own() -> None:
    whole = [a_run([0.6, 0.7], seed=seed, noise="philox4x32-grid") for seed in (0, 1)]
    real = [a_run([0.6], seed=seed, checkpoint=run.checkpoint_sha256) for seed, run in enumerate(whole)]
    (first, second) = board_of(*real, *whole).groups[0].rows
    assert (first.entry.label, second.entry.label) == ("", "noise in float32")
    assert first.entry.threat_model == "the grid {k/q}^d in [0,1]^d"
    assert second.entry.threat_model == "the box [0,1]^d"
    assert [row.seeds_label for row in (first, second)] == ["2 seeds", "2 seeds"]
    # Alone on the board, it needs no variant.
    (alone,) = board_of(*real).groups[0].rows
    assert alone.entry.label == ""


def test_a_run_that_was_reproduced_is_averaged_with_its_seeds_as_any_other() -> None:
    (row,) = board_of(a_run([0.5], seed=0, tier="reproduced"), a_run([0.5], seed=1)).groups[0].rows
    assert row.seeds_label == "2 seeds"
    assert row.reproduced_label == "1 of 2 runs reproduced"
    (alone,) = board_of(a_run([0.5], tier="reproduced")).groups[0].rows
    assert alone.reproduced_label == "reproduced by another run"
    (measured,) = board_of(a_run([0.5])).groups[0].rows
    assert measured.reproduced_label == ""


def test_an_infinite_radius_is_shown_and_has_no_spread() -> None:
    (row,) = board_of(a_run([np.inf], seed=0), a_run([np.inf], seed=1)).groups[0].rows
    assert radius_text(row.average_radius.value) == "∞"
    assert row.average_radius.spread is None


@pytest.mark.parametrize(
    ("difference", "shown"),
    [(Fraction(0), "0"), (Fraction(1, 4), "+0.2"), (Fraction(-1, 4), "−0.3"), (Fraction(29, 1), "+29.0")],
)
def test_a_difference_is_rounded_down(difference: Fraction, shown: str) -> None:
    assert difference_text(difference, 1) == shown


def test_runs_are_selected_by_norm_and_their_methods_have_titles_of_their_own() -> None:
    runs = [a_run([0.5], method="cohen"), a_run([0.5], method="ssn"), an_import([0.5], method="SSN")]
    assert RunFilters("l2").apply(runs) == runs[:1]
    assert RunFilters("l1").apply(runs) == runs
    titles = Report("results.db", tuple(runs), (), ()).methods
    assert titles == {"cohen": "Gaussian", "ssn": "SSN", "SSN": "SSN (imported)"}
