"""The figures of papers: what comes with rsbench, and how it stands beside measured numbers."""

from collections import Counter
from dataclasses import replace

import pytest
from rich.console import Console

from rsbench.records import ReportedFigure
from rsbench.report.reported import (
    AT_ZERO_LABEL,
    ReportedTable,
    figures_frame,
    printed_figures,
    reported_json,
    reported_markdown,
    reported_notes,
    reported_table,
    reported_tables,
    reported_text,
)

QUANTITIES = {
    "certified_accuracy", "clean_accuracy", "average_certified_radius", "predict_correct", "predict_incorrect",
    "predict_abstained", "seconds_per_image",
}  # fmt: skip


def table(dataset: str, norm: str, *radii: str) -> ReportedTable:
    return reported_table(printed_figures(), dataset=dataset, norm=norm, radii=radii)


def figures(paper: str, quantity: str) -> list[ReportedFigure]:
    return [f for f in printed_figures() if f.paper == paper and f.quantity == quantity]


def test_every_figure_is_complete_and_none_is_repeated() -> None:
    assert len(set(printed_figures())) == len(printed_figures())
    assert {f.quantity for f in printed_figures()} == QUANTITIES
    for f in printed_figures():
        assert (f.radius is not None) == (f.quantity == "certified_accuracy")
        assert f.value == round(f.value, 4)
        assert f.value >= 0
        if "accuracy" in f.quantity or "predict" in f.quantity:
            assert f.value <= 1


def test_certified_accuracies_fall_with_the_radius() -> None:
    lines: dict[object, list[ReportedFigure]] = {}
    for f in printed_figures():
        if f.quantity == "certified_accuracy":
            key = replace(f, radius=None, value=0, sigma=None if f.selected else f.sigma)
            lines.setdefault(key, []).append(f)
    assert len(lines) == 32
    for line in lines.values():
        radii = [f.radius for f in line]
        assert len(set(radii)) == len(radii)
        values = [f.value for f in sorted(line, key=lambda f: f.radius or 0)]
        assert values == sorted(values, reverse=True)


def test_a_prediction_is_right_or_wrong_or_none() -> None:
    shares: Counter[int | None] = Counter()
    for quantity in ("predict_correct", "predict_incorrect", "predict_abstained"):
        for f in figures("Cohen et al. 2019", quantity):
            shares[f.n_estimate] += round(100 * f.value)
    assert shares == {100: 100, 1000: 100, 10_000: 100}


def test_an_average_radius_belongs_to_a_method_and_not_to_a_radius() -> None:
    average = figures("Alfarra et al. 2022", "average_certified_radius")
    assert len({(f.dataset, f.norm, f.method) for f in average}) == len(average) == 16 + 3
    assert all(f.sigma is None and f.selected for f in average)
    assert not figures("Cohen et al. 2019", "average_certified_radius")


def test_clean_accuracy_without_abstention_belongs_to_a_sigma_and_is_no_radius_zero() -> None:
    clean = [f for f in printed_figures() if f.quantity == "clean_accuracy"]
    assert {f.paper for f in clean} == {"Levine & Feizi 2021"}
    assert all(f.norm == "l1" and f.sigma is not None for f in clean)
    at_zero = [f for f in printed_figures() if f.radius == 0.0]
    assert "Levine & Feizi 2021" not in {f.paper for f in at_zero}


def test_rows_with_a_selected_sigma_show_it_with_each_number() -> None:
    rows = table("cifar10", "l1", "0.5", "1").rows
    dssn = next(r for r in rows if r.label == "dssn")
    assert dssn.source == "Levine & Feizi 2021, table 1"
    assert dssn.sigma is None
    first, second = dssn.cells
    assert first is not None
    assert second is not None
    assert (first.value, first.sigma, first.clean) == (0.7225, 0.75, 0.815)
    assert (second.value, second.sigma, second.clean) == (0.6307, 1.25, 0.7785)
    assert dssn.at_zero is None
    assert [r.label for r in rows if r.where == "table 3"] == ["dssn, seed 1", "dssn, seed 2"]


def test_rows_of_one_sigma_have_it_themselves() -> None:
    rows = [r for r in table("imagenet", "l2", "1").rows if r.paper == "Cohen et al. 2019"]
    assert [(r.sigma, r.at_zero and r.at_zero.value, r.cells[0] and r.cells[0].value) for r in rows] == [
        (0.25, 0.67, 0.0),
        (0.5, 0.57, 0.37),
        (1.0, 0.44, 0.33),
    ]
    assert {r.budget for r in rows} == {"n0 100 · n 100,000 · α 0.001"}


def test_an_average_radius_stands_with_its_doubt() -> None:
    (plain, chosen) = [r for r in table("cifar10", "l1", "1").rows if r.paper == "Alfarra et al. 2022"]
    assert (plain.average_radius, chosen.average_radius) == (0.775, 0.946)
    assert "impossible for λ ≤ 1" in plain.doubts[0]


def test_figures_at_other_radii_have_no_row() -> None:
    assert table("cifar10", "l1", "0.123").rows == ()
    assert table("digits", "l1", "0.5").rows == ()
    assert reported_tables(printed_figures(), datasets=["digits", "cifar10"], norm="l1", radii=["9"]) == []
    (only,) = reported_tables(printed_figures(), datasets=["cifar10", "cifar10"], norm="l1", radii=["0.50"])
    assert len(only.rows) == 8


def test_a_chosen_radius_of_zero_has_one_column() -> None:
    with_zero = table("cifar10", "l2", "0", "0.25")
    assert not with_zero.with_zero
    assert list(reported_markdown(with_zero).columns).count("r = 0") == 1
    assert AT_ZERO_LABEL in reported_markdown(table("cifar10", "l2", "0.25")).columns


def test_the_page_says_which_number_is_which() -> None:
    shown = reported_markdown(table("cifar10", "l1", "0.5"))
    assert shown["r = 0.5"][2] == "72.2  \n:small[:gray[81.5 @ σ 0.75]]"
    assert shown[AT_ZERO_LABEL].tolist() == ["–"] * 6 + ["92.0"] * 2
    assert shown["ACR"].tolist() == ["–"] * 6 + ["0.775", "0.946"]
    assert shown["Method"][6] == r"uniform \* ‡"
    notes = " ".join(reported_notes(table("cifar10", "l1", "0.5")))
    assert "where nothing abstains; it is not the r = 0 of other papers" in notes
    assert "* best of 15 σ on the test set: exploratory" in notes
    assert "not ranked and not averaged" in notes


@pytest.mark.parametrize(("dataset", "norm"), [("cifar10", "l1"), ("cifar10", "l2"), ("imagenet", "l2")])
def test_a_terminal_of_eighty_columns_holds_every_radius(dataset: str, norm: str) -> None:
    radii = ("0.25", "0.5", "0.75", "1", "1.5", "2", "2.5", "3")
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(reported_text(table(dataset, norm, *radii), 80))
    text = capture.get()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    shown = [radius for radius in radii if any(dict(zip(radii, r.cells, strict=True))[radius] for r in table(
        dataset, norm, *radii
    ).rows)]  # fmt: skip
    assert all(f"r = {radius}" in text for radius in shown)


def test_printed_numbers_keep_their_decimals() -> None:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(reported_text(table("cifar10", "l2", "0.5"), 80))
    assert "0.591" in capture.get()


def test_the_json_holds_what_is_printed() -> None:
    wanted = table("cifar10", "l1", "0.5")
    rows = reported_json(wanted)["rows"]
    assert [row["certified_accuracy"][0]["value"] for row in rows[:3]] == [0.7054, 0.7109, 0.7225]
    assert [row["accuracy_at_radius_0"] is None for row in rows] == [True] * 6 + [False] * 2
    assert [row["certified_accuracy"][0]["clean"] is None for row in rows] == [False] * 6 + [True] * 2
    row = rows[0]
    assert row["certified_accuracy"] == [{"radius": "0.5", "value": 0.7054, "sigma": 0.5, "clean": 0.8397}]
    assert row["accuracy_at_radius_0"] is None


def test_the_frame_of_all_figures_is_the_figures() -> None:
    frame = figures_frame(printed_figures())
    assert len(frame) == len(printed_figures())
    assert frame["value"].tolist() == [f.value for f in printed_figures()]
    assert str(frame["n_estimate"].dtype) == "Int64"
