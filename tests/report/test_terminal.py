"""The leaderboard as a terminal prints it."""

import pytest
from rich.console import Console

from rsbench.records import RunRecord
from rsbench.report.terminal import leaderboard_table
from tests.report.runs import a_run, board_of


def printed(*runs: RunRecord, radii: tuple[str, ...] = ("0.5",), best: bool = True, incomplete: int = 0) -> str:
    board = board_of(runs, radii, incomplete=incomplete, select_best=best)
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(leaderboard_table(board, 80))
    return capture.get()


def many_runs() -> list[RunRecord]:
    return [
        a_run([0.6, 0.7 + seed / 10], method=method, sigma=sigma, seed=seed)
        for method in ("cohen", "uniform", "ssn", "dssn")
        for sigma in (0.25, 0.5)
        for seed in (0, 1, 2)
    ]


def test_accuracies_are_rounded_down_and_the_spread_stands_beside() -> None:
    text = printed(a_run([0.6, 0.6], images=3, seed=0), a_run([0.6], images=3, seed=1))
    assert "50.0 ± 23.6" in text
    assert "66.6" in printed(a_run([0.6, 0.6], images=3))


def test_a_row_says_which_sigma_its_checkpoints_were_trained_with_where_it_is_another() -> None:
    usual = a_run([0.6], sigma=0.5)
    other = a_run([0.7], sigma=0.75, training_sigma=0.5, checkpoint=usual.checkpoint_sha256)
    rows = printed(usual, other).split("clean†")[1].splitlines()
    assert sum(row.strip() == "trained at σ = 0.5" for row in rows) == 1
    assert "trained at" not in printed(usual)


def test_a_selected_sigma_has_its_asterisk_explained() -> None:
    text = printed(a_run([0.6], sigma=0.5), a_run([0.7], sigma=1.0))
    assert "σ 0.5 *" in text
    assert "* σ selected on the test images: exploratory" in text
    assert "*" not in printed(a_run([0.6]))


@pytest.mark.parametrize("best", [True, False])
def test_four_methods_at_three_radii_fit_eighty_columns_uncut(best: bool) -> None:
    text = printed(*many_runs(), radii=("0.5", "1.0", "1.5"), best=best)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert text.count("method") == 1


def test_columns_that_do_not_fit_stand_in_a_further_table() -> None:
    text = printed(*many_runs(), radii=tuple(f"0.{i}" for i in range(1, 10)))
    assert text.count("method") > 1
    assert "…" not in text
    assert all(f"r = 0.{i}" in text for i in range(1, 10))


def test_the_theorem_and_the_budget_are_named() -> None:
    text = " ".join(printed(a_run([0.6]), a_run([0.6], method="dssn")).split())
    assert "Levine & Feizi 2021, corollary 1 and appendix B; closed l1 ball" in text
    assert "n0 100 · n 1,000 · α 0.001" in text


def test_two_budgets_of_a_method_are_distinguished() -> None:
    text = printed(a_run([0.6]), a_run([0.6], n=10_000))
    assert "n0 100 · n 1,000 " in text
    assert "n0 100 · n 10,000 " in text


def test_incomplete_runs_are_mentioned() -> None:
    assert "no sealed run for l1" in printed()
    assert "2 runs are incomplete" in printed(incomplete=2)
    assert "1 run is incomplete" in printed(a_run([0.6]), incomplete=1)
