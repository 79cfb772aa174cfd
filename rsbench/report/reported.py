"""Figures of papers, in tables of their own: they are never ranked or averaged with measured numbers."""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.resources import files
from itertools import chain
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rsbench.records import ReportedFigure
from rsbench.report.numbers import budget_text, percent_down, plain_markdown, sigma_text

REPORTED_TITLE = "Reported in papers"
AT_ZERO_LABEL = "r = 0 (abstention = wrong)"
CLEAN_LABEL = "clean accuracy @ σ of its network, where nothing abstains"

_WHOLE_NUMBERS = ("n_select", "n_estimate", "seed")
_DECIMALS = ("value", "radius", "sigma", "failure_probability")
# Columns of a terminal for the widest method, such as "  uniform, stability, seed 1 *".
_LABELS = 32


@dataclass(frozen=True)
class ReportedCell:
    """A certified accuracy as a paper prints it."""

    value: float
    sigma: float | None
    """σ of the network, None where the paper does not say it."""

    clean: float | None
    """Clean accuracy at that σ, in papers without abstention. It differs from the certified accuracy at radius 0, which
    counts abstentions as wrong."""


@dataclass(frozen=True)
class ReportedRow:
    """A method in one table or figure of one paper."""

    paper: str
    where: str
    """Table or figure."""

    method: str
    objective: str | None
    seed: int | None
    sigma: float | None
    """σ of all numbers; None where it was selected for each number, or the paper does not say it."""

    selected: str | None
    """What was selected for each number on the test images, None where nothing was."""

    images: str | None
    budget: str
    """n0, n and α; empty where the paper does not say them."""

    cells: tuple[ReportedCell | None, ...]
    """The numbers at the table's radii, None where the paper prints none."""

    at_zero: ReportedCell | None
    """The certified accuracy at radius 0."""

    average_radius: float | None
    """The average certified radius."""

    doubts: tuple[str, ...]
    """Why some numbers may be wrong."""

    @property
    def source(self) -> str:
        """Paper, and table or figure."""
        return f"{self.paper}, {self.where}"

    @property
    def label(self) -> str:
        """The method as its source names it, with the objective and the seed that distinguish it there."""
        seed = None if self.seed is None else f"seed {self.seed}"
        objective = None if self.objective == "noise-augmentation" else self.objective
        return ", ".join(part for part in (self.method, objective, seed) if part)


@dataclass(frozen=True)
class ReportedTable:
    """What papers report for one dataset and norm."""

    dataset: str
    norm: str
    radii: tuple[str, ...]
    """As typed."""

    rows: tuple[ReportedRow, ...]
    """In the order of the papers' tables."""

    @property
    def with_zero(self) -> bool:
        """Whether the accuracies at radius 0 need a column of their own."""
        return any(row.at_zero for row in self.rows) and not any(float(radius) == 0.0 for radius in self.radii)

    @property
    def with_clean(self) -> bool:
        """Whether a number stands with a clean accuracy."""
        return any(cell and cell.clean is not None for row in self.rows for cell in row.cells)

    @property
    def with_average(self) -> bool:
        """Whether a paper prints an average certified radius."""
        return any(row.average_radius is not None for row in self.rows)

    @property
    def selections(self) -> list[str]:
        """What was selected on the test images, without duplicates."""
        return list(dict.fromkeys(row.selected for row in self.rows if row.selected))

    @property
    def doubts(self) -> list[str]:
        """Why some numbers may be wrong, without duplicates."""
        return list(dict.fromkeys(chain.from_iterable(row.doubts for row in self.rows)))


@cache
def printed_figures() -> tuple[ReportedFigure, ...]:
    """Return the figures of papers that come with rsbench."""
    text = (files("rsbench.report") / "figures_of_papers.csv").read_text(encoding="utf-8")
    return tuple(ReportedFigure(**_typed(line)) for line in csv.DictReader(text.splitlines()))


def reported_table(
    figures: Sequence[ReportedFigure], *, dataset: str, norm: str, radii: Sequence[str]
) -> ReportedTable:
    """Return the figures on a dataset (by name) in a norm, as rows that have a number at one of the radii.

    radii: as typed, see `rsbench.report.numbers.checked_radii`.
    """
    members: dict[tuple[object, ...], list[ReportedFigure]] = {}
    for figure in figures:
        if figure.dataset == dataset and figure.norm == norm:
            members.setdefault(_row_key(figure), []).append(figure)
    rows = (_row(group, [float(radius) for radius in radii]) for group in members.values())
    return ReportedTable(dataset, norm, tuple(radii), tuple(row for row in rows if any(row.cells)))


def reported_tables(
    figures: Sequence[ReportedFigure], *, datasets: Iterable[str], norm: str, radii: Sequence[str]
) -> list[ReportedTable]:
    """Return the tables of several datasets (by name, without duplicates) that have a row."""
    tables = (reported_table(figures, dataset=name, norm=norm, radii=radii) for name in dict.fromkeys(datasets))
    return [table for table in tables if table.rows]


def figures_frame(figures: Sequence[ReportedFigure]) -> pd.DataFrame:
    """Return a row for each figure and a column for each field. What a paper does not say is missing."""
    names = [field.name for field in fields(ReportedFigure)]
    frame = pd.DataFrame([asdict(figure) for figure in figures], columns=names)
    return frame.astype(dict.fromkeys(_WHOLE_NUMBERS, "Int64") | dict.fromkeys(_DECIMALS, "float64"))


def reported_json(table: ReportedTable) -> dict[str, Any]:
    """Return a table as plain JSON values. Shares are between 0 and 1."""
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


def reported_text(table: ReportedTable, width: int = 80) -> RenderableType:
    """Return a table for a terminal of `width` columns. Radii that do not fit are in a further table below."""
    radii = list(range(len(table.radii)))
    parts: list[RenderableType] = [Text(f"{REPORTED_TITLE}: {table.dataset}, {table.norm}", style="bold")]
    while radii:
        # The widest cells are "83.9 @ σ 1.75" and, without a clean accuracy, a heading such as "r = 0.25".
        column = 14 if table.with_clean else 9
        fitting = max(1, (width - _LABELS - 7 * (table.with_zero + table.with_average)) // column)
        parts.append(_text_table(table, radii[:fitting]))
        radii = radii[fitting:]
    return Stack(*parts, *(Text(line, style="dim") for line in reported_notes(table)))


def reported_markdown(table: ReportedTable) -> pd.DataFrame:
    """Return the rows for a page, with Markdown in the cells and a column for each radius with a number."""
    columns: dict[str, list[str]] = {
        "Source": [_source(row) for row in table.rows],
        "Method": [_marked(plain_markdown(row.label), row, r" \*", " ‡") for row in table.rows],
        "σ": [_own_sigma(row) for row in table.rows],
        "Votes": [plain_markdown(row.budget or "–") for row in table.rows],
    }
    if table.with_zero:
        columns[AT_ZERO_LABEL] = [_shown(row.at_zero) for row in table.rows]
    for i, radius in enumerate(table.radii):
        if any(row.cells[i] for row in table.rows):
            columns[f"r = {radius}"] = [_shown(row.cells[i], _small) for row in table.rows]
    if table.with_average:
        columns["ACR"] = [_average(row) for row in table.rows]
    return pd.DataFrame(columns)


def reported_notes(table: ReportedTable) -> list[str]:
    """Return what a reader must know of a table, a sentence each."""
    notes = ["as printed; not ranked and not averaged with measured numbers"]
    if any(row.at_zero for row in table.rows):
        notes.append(f"{AT_ZERO_LABEL}: certified accuracy at radius 0")
    if table.with_clean:
        notes.append(f"below a number: {CLEAN_LABEL}; it is not the r = 0 of other papers")
    notes += [f"* {selection}: exploratory" for selection in table.selections]
    return notes + [f"‡ doubtful: {doubt}" for doubt in table.doubts]


def network_of_cell(cell: ReportedCell) -> str:
    """Return σ and clean accuracy of the network of a number, as in "83.9 @ σ 0.5"; empty where σ is not known."""
    clean = "" if cell.clean is None else f"{percent_down(cell.clean)} @ "
    return "" if cell.sigma is None else f"{clean}σ {sigma_text(cell.sigma)}"


def _typed(line: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {name: text for name, text in line.items() if text}
    values |= {name: int(values[name]) for name in _WHOLE_NUMBERS if name in values}
    return values | {name: float(values[name]) for name in _DECIMALS if name in values}


def _row_key(figure: ReportedFigure) -> tuple[object, ...]:
    """Return what the figures of one row have in common. A σ that was selected belongs to the number, not the row."""
    return (
        figure.paper, figure.where, figure.method, figure.objective, figure.seed, figure.images, figure.n_select,
        figure.n_estimate, figure.failure_probability, figure.selected, None if figure.selected else figure.sigma,
    )  # fmt: skip


def _row(figures: Sequence[ReportedFigure], radii: Sequence[float]) -> ReportedRow:
    first = figures[0]
    certified = {f.radius: f for f in figures if f.quantity == "certified_accuracy"}
    clean = {f.sigma: f.value for f in figures if f.quantity == "clean_accuracy"}
    average = [f.value for f in figures if f.quantity == "average_certified_radius"]

    def cell(radius: float) -> ReportedCell | None:
        figure = certified.get(radius)
        return None if figure is None else ReportedCell(figure.value, figure.sigma, clean.get(figure.sigma))

    has_budget = None not in (first.n_select, first.n_estimate, first.failure_probability)
    return ReportedRow(
        paper=first.paper,
        where=first.where,
        method=first.method,
        objective=first.objective,
        seed=first.seed,
        sigma=None if first.selected else first.sigma,
        selected=first.selected,
        images=first.images,
        budget=budget_text(first.n_select, first.n_estimate, first.failure_probability) if has_budget else "",
        cells=tuple(cell(radius) for radius in radii),
        at_zero=cell(0.0),
        average_radius=average[0] if average else None,
        doubts=tuple(dict.fromkeys(f.doubt for f in figures if f.doubt)),
    )


def _text_table(table: ReportedTable, radii: list[int]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    drawn.add_column("method", no_wrap=True)
    headings = [*(["r = 0"] if table.with_zero else []), *(f"r = {table.radii[i]}" for i in radii)]
    for heading in [*headings, *(["ACR"] if table.with_average else [])]:
        drawn.add_column(heading, justify="right", no_wrap=True)
    source = ""
    for row in table.rows:
        if row.source != source:
            drawn.add_row(Text(row.source, style="italic"))
            source = row.source
        sigma = "" if row.sigma is None else f", σ {sigma_text(row.sigma)}"
        drawn.add_row(
            Text(f"  {_marked(row.label + sigma, row, ' *', ' ‡')}"),
            *([_shown(row.at_zero)] if table.with_zero else []),
            *(_text_cell(row, row.cells[i]) for i in radii),
            *([_average(row)] if table.with_average else []),
        )
    return drawn


def _text_cell(row: ReportedRow, cell: ReportedCell | None) -> Text:
    text = Text(_shown(cell))
    if cell is not None and row.sigma is None and (below := network_of_cell(cell)):
        text.append(f"\n{below}", style="dim")
    return text


def _source(row: ReportedRow) -> str:
    images = f"  \n:small[:gray[{plain_markdown(row.images)}]]" if row.images else ""
    return plain_markdown(row.source) + images


def _shown(cell: ReportedCell | None, below: Callable[[ReportedCell], str] = lambda cell: "") -> str:
    return "–" if cell is None else percent_down(cell.value) + below(cell)


def _small(cell: ReportedCell) -> str:
    network = network_of_cell(cell)
    return f"  \n:small[:gray[{network}]]" if network and cell.clean is not None else ""


def _marked(label: str, row: ReportedRow, selected: str, doubted: str) -> str:
    return label + (selected if row.selected else "") + (doubted if row.doubts else "")


def _own_sigma(row: ReportedRow) -> str:
    return sigma_text(row.sigma) if row.sigma is not None else "selected" if row.selected else "–"


def _average(row: ReportedRow) -> str:
    # The shortest decimal form of the float is what the paper prints.
    return "–" if row.average_radius is None else str(row.average_radius)
