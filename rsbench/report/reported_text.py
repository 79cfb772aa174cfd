"""The figures of papers for a terminal and for a page. Shares are in percent, rounded down to one decimal."""

from collections.abc import Callable

import pandas as pd
from rich import box
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rsbench.report.numbers import percent_down, plain_markdown, sigma_text
from rsbench.report.reported import (
    AT_ZERO_LABEL,
    CLEAN_LABEL,
    REPORTED_TITLE,
    ReportedCell,
    ReportedRow,
    ReportedTable,
)

# Columns of a terminal for the widest method, such as "  uniform, stability, seed 1 *".
_LABELS = 32


def reported_text(table: ReportedTable, width: int = 80) -> RenderableType:
    """The table for a terminal of `width` columns: radii that do not fit stand in a further table below."""
    radii = list(range(len(table.radii)))
    parts: list[RenderableType] = [Text(f"{REPORTED_TITLE}: {table.dataset}, {table.norm}", style="bold")]
    while radii:
        # The widest cells are "83.9 @ σ 1.75" and, without a clean accuracy, a heading such as "r = 0.25".
        column = 14 if _with_clean(table) else 9
        fitting = max(1, (width - _LABELS - 7 * (table.with_zero + _with_average(table))) // column)
        parts.append(_text_table(table, radii[:fitting]))
        radii = radii[fitting:]
    return Stack(*parts, *(Text(line, style="dim") for line in reported_notes(table)))


def reported_markdown(table: ReportedTable) -> pd.DataFrame:
    """The rows for a page: Markdown in the cells, one column for each radius at which a paper prints something."""
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
    if _with_average(table):
        columns["ACR"] = [_average(row) for row in table.rows]
    return pd.DataFrame(columns)


def reported_notes(table: ReportedTable) -> list[str]:
    """What a reader must know of the table, a sentence each."""
    notes = ["as printed, not ranked and not averaged with measured numbers"]
    if any(row.at_zero for row in table.rows):
        notes.append(f"{AT_ZERO_LABEL}: certified accuracy at radius 0")
    if _with_clean(table):
        notes.append(f"below a number: {CLEAN_LABEL}; it is not the r = 0 of other papers")
    notes += [f"* {selection}: exploratory" for selection in table.selections]
    return notes + [f"‡ doubtful: {doubt}" for doubt in table.doubts]


def own_model(cell: ReportedCell) -> str:
    """The σ of a number with the clean accuracy of that σ, as in "83.9 @ σ 0.5"; empty where nothing is told."""
    clean = "" if cell.clean is None else f"{percent_down(cell.clean)} @ "
    return "" if cell.sigma is None else f"{clean}σ {sigma_text(cell.sigma)}"


def _text_table(table: ReportedTable, radii: list[int]) -> Table:
    drawn = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    drawn.add_column("method", no_wrap=True)
    headings = [*(["r = 0"] if table.with_zero else []), *(f"r = {table.radii[i]}" for i in radii)]
    for heading in [*headings, *(["ACR"] if _with_average(table) else [])]:
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
            *([_average(row)] if _with_average(table) else []),
        )
    return drawn


def _text_cell(row: ReportedRow, cell: ReportedCell | None) -> Text:
    text = Text(_shown(cell))
    if cell is not None and row.sigma is None and (below := own_model(cell)):
        text.append(f"\n{below}", style="dim")
    return text


def _source(row: ReportedRow) -> str:
    images = f"  \n:small[:gray[{plain_markdown(row.images)}]]" if row.images else ""
    return plain_markdown(row.source) + images


def _shown(cell: ReportedCell | None, below: Callable[[ReportedCell], str] = lambda cell: "") -> str:
    return "–" if cell is None else percent_down(cell.value) + below(cell)


def _small(cell: ReportedCell) -> str:
    told = own_model(cell)
    return f"  \n:small[:gray[{told}]]" if told and cell.clean is not None else ""


def _marked(label: str, row: ReportedRow, selected: str, doubted: str) -> str:
    return label + (selected if row.selected else "") + (doubted if row.doubts else "")


def _own_sigma(row: ReportedRow) -> str:
    return sigma_text(row.sigma) if row.sigma is not None else "selected" if row.selected else "–"


def _average(row: ReportedRow) -> str:
    # The shortest decimal form of the float is what the paper prints.
    return "–" if row.average_radius is None else str(row.average_radius)


def _with_clean(table: ReportedTable) -> bool:
    return any(cell and cell.clean is not None for row in table.rows for cell in row.cells)


def _with_average(table: ReportedTable) -> bool:
    return any(row.average_radius is not None for row in table.rows)
