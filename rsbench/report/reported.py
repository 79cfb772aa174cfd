"""Figures that papers print, as rows of a table of their own: never ranked with measured numbers, never averaged."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import pandas as pd

from rsbench.records import ReportedFigure
from rsbench.report.numbers import budget_text

REPORTED_TITLE = "Reported in papers"
AT_ZERO_LABEL = "r = 0 (abstention = wrong)"
CLEAN_LABEL = "clean accuracy @ σ of its model, where nothing abstains"

_WHOLE_NUMBERS = ("n_select", "n_estimate", "seed")
_DECIMALS = ("value", "radius", "sigma", "failure_probability")


@dataclass(frozen=True)
class ReportedCell:
    """A certified accuracy with the σ that it is of, where the paper says it, and the clean accuracy of that σ.

    `clean` comes from papers in which nothing abstains: it is not the certified accuracy at radius 0, which counts
    abstentions as wrong.
    """

    value: float
    sigma: float | None
    clean: float | None


@dataclass(frozen=True)
class ReportedRow:
    """A method as one table of one paper has it. `cells` stand at the table's radii, None where nothing is printed.

    `selected` says what was chosen for each number by looking at the test images; otherwise all numbers are of one
    `sigma`. `budget` is empty where the paper does not tell it.
    """

    paper: str
    where: str
    method: str
    objective: str | None
    seed: int | None
    sigma: float | None
    selected: str | None
    images: str | None
    budget: str
    cells: tuple[ReportedCell | None, ...]
    at_zero: ReportedCell | None
    average_radius: float | None
    doubts: tuple[str, ...]

    @property
    def source(self) -> str:
        """Paper, and table or figure."""
        return f"{self.paper}, {self.where}"

    @property
    def label(self) -> str:
        """The method as its source names it, with what tells it apart from others there."""
        seed = None if self.seed is None else f"seed {self.seed}"
        objective = None if self.objective == "noise-augmentation" else self.objective
        return ", ".join(part for part in (self.method, objective, seed) if part)


@dataclass(frozen=True)
class ReportedTable:
    """What papers report for one data set and norm at `radii`, as typed, in the order of the papers' tables."""

    dataset: str
    norm: str
    radii: tuple[str, ...]
    rows: tuple[ReportedRow, ...]

    @property
    def with_zero(self) -> bool:
        """Whether the accuracies at radius 0 need a column of their own."""
        return any(row.at_zero for row in self.rows) and not any(float(radius) == 0.0 for radius in self.radii)

    @property
    def selections(self) -> list[str]:
        """What was selected on the test images, each said once."""
        return list(dict.fromkeys(row.selected for row in self.rows if row.selected))

    @property
    def doubts(self) -> list[str]:
        """Why some numbers may be wrong, each said once."""
        return list(dict.fromkeys(chain.from_iterable(row.doubts for row in self.rows)))


@cache
def printed_figures() -> tuple[ReportedFigure, ...]:
    """The figures that come with rsbench, as the papers print them."""
    text = (files("rsbench.report") / "figures_of_papers.csv").read_text(encoding="utf-8")
    return tuple(ReportedFigure(**_typed(line)) for line in csv.DictReader(text.splitlines()))


def reported_table(
    figures: Sequence[ReportedFigure], *, dataset: str, norm: str, radii: Sequence[str]
) -> ReportedTable:
    """The rows of the figures that are of this data set (by name) and norm, and say something at one of the radii.

    radii: as typed, see `rsbench.report.numbers.checked_radii`.
    """
    wanted = [figure for figure in figures if figure.dataset == dataset and figure.norm == norm]
    members: dict[tuple[object, ...], list[ReportedFigure]] = {}
    for figure in wanted:
        members.setdefault(_line_of(figure), []).append(figure)
    rows = (_row(line, [float(radius) for radius in radii]) for line in members.values())
    return ReportedTable(dataset, norm, tuple(radii), tuple(row for row in rows if any(row.cells)))


def reported_tables(
    figures: Sequence[ReportedFigure], *, datasets: Iterable[str], norm: str, radii: Sequence[str]
) -> list[ReportedTable]:
    """The tables of several data sets that are not empty, each data set once."""
    tables = (reported_table(figures, dataset=name, norm=norm, radii=radii) for name in dict.fromkeys(datasets))
    return [table for table in tables if table.rows]


def figures_frame(figures: Sequence[ReportedFigure]) -> pd.DataFrame:
    """One line a figure, a column a field; missing is what the paper does not say."""
    names = [field.name for field in fields(ReportedFigure)]
    frame = pd.DataFrame([asdict(figure) for figure in figures], columns=names)
    return frame.astype(dict.fromkeys(_WHOLE_NUMBERS, "Int64") | dict.fromkeys(_DECIMALS, "float64"))


_COLUMNS = (
    "paper", "where", "dataset", "norm", "method", "objective", "seed", "images", "budget", "selected", "radius",
    "certified_accuracy", "sigma", "clean_accuracy_without_abstention", "average_certified_radius", "doubt",
)  # fmt: skip


def reported_frame(table: ReportedTable) -> pd.DataFrame:
    """One line a row and radius at which the paper prints something, radius 0 included, as printed."""
    lines = [line for row in table.rows for line in _lines(table, row)]
    frame = pd.DataFrame(lines, columns=list(_COLUMNS))
    decimals = ("certified_accuracy", "sigma", "clean_accuracy_without_abstention", "average_certified_radius")
    return frame.astype({"seed": "Int64"} | dict.fromkeys(decimals, "float64"))


def reported_json(table: ReportedTable) -> dict[str, Any]:
    """The table as plain JSON values; shares are between 0 and 1."""
    return {
        "dataset": table.dataset,
        "norm": table.norm,
        "rows": [
            {
                "paper": row.paper,
                "where": row.where,
                "method": row.method,
                "objective": row.objective,
                "seed": row.seed,
                "sigma": row.sigma,
                "selected_on_test_images": row.selected,
                "images": row.images,
                "budget": row.budget or None,
                "certified_accuracy": [
                    {"radius": radius} | asdict(cell)
                    for radius, cell in zip(table.radii, row.cells, strict=True)
                    if cell
                ],
                "accuracy_at_radius_0": asdict(row.at_zero) if row.at_zero else None,
                "average_certified_radius": row.average_radius,
                "doubts": list(row.doubts),
            }
            for row in table.rows
        ],
    }


def _typed(line: dict[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {name: text for name, text in line.items() if text}
    told |= {name: int(told[name]) for name in _WHOLE_NUMBERS if name in told}
    return told | {name: float(told[name]) for name in _DECIMALS if name in told}


def _line_of(figure: ReportedFigure) -> tuple[object, ...]:
    """What the figures of one row have in common. A σ that was selected belongs to the number, not to the row."""
    return (
        figure.paper, figure.where, figure.method, figure.objective, figure.seed, figure.images, figure.n_select,
        figure.n_estimate, figure.failure_probability, figure.selected, None if figure.selected else figure.sigma,
    )  # fmt: skip


def _row(line: Sequence[ReportedFigure], radii: Sequence[float]) -> ReportedRow:
    first = line[0]
    certified = {f.radius: f for f in line if f.quantity == "certified_accuracy"}
    clean = {f.sigma: f.value for f in line if f.quantity == "clean_accuracy"}
    average = [f.value for f in line if f.quantity == "average_certified_radius"]

    def cell(radius: float) -> ReportedCell | None:
        found = certified.get(radius)
        return None if found is None else ReportedCell(found.value, found.sigma, clean.get(found.sigma))

    told = None not in (first.n_select, first.n_estimate, first.failure_probability)
    return ReportedRow(
        paper=first.paper,
        where=first.where,
        method=first.method,
        objective=first.objective,
        seed=first.seed,
        sigma=None if first.selected else first.sigma,
        selected=first.selected,
        images=first.images,
        budget=budget_text(first.n_select, first.n_estimate, first.failure_probability) if told else "",
        cells=tuple(cell(radius) for radius in radii),
        at_zero=cell(0.0),
        average_radius=average[0] if average else None,
        doubts=tuple(dict.fromkeys(f.doubt for f in line if f.doubt)),
    )


def _lines(table: ReportedTable, row: ReportedRow) -> Iterator[dict[str, object]]:
    at_zero = [("0", row.at_zero)] if table.with_zero else []
    for radius, cell in (*at_zero, *zip(table.radii, row.cells, strict=True)):
        if cell is not None:
            yield {
                "paper": row.paper,
                "where": row.where,
                "dataset": table.dataset,
                "norm": table.norm,
                "method": row.method,
                "objective": row.objective,
                "seed": row.seed,
                "images": row.images,
                "budget": row.budget or None,
                "selected": row.selected,
                "radius": radius,
                "certified_accuracy": cell.value,
                "sigma": cell.sigma,
                "clean_accuracy_without_abstention": cell.clean,
                "average_certified_radius": row.average_radius,
                "doubt": "; ".join(row.doubts) or None,
            }
