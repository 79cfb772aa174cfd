"""The leaderboard in a terminal."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, RenderableType
from rich.console import Group as Stack
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from rsbench.report.leaderboard import SELECTED_ON_TEST, Cell, Group, Leaderboard, Row
from rsbench.report.numbers import count_text, percent_down, radius_text, seed_text, sigma_text, spread_text
from rsbench.report.run_facts import seed_of

_MEASURING = Console(width=10_000)
# Columns before the numbers, by `select_best`: the method, and on a board of single runs also σ, seed and fingerprint.
_LEADING = {True: 1, False: 4}


@dataclass(frozen=True, eq=False)
class _Column:
    """A column of numbers."""

    heading: str
    cells: tuple[Cell, ...]
    """In the order of the rows."""

    text: Callable[[float], str]
    """How a value is shown."""


def leaderboard_table(board: Leaderboard, width: int = 80) -> RenderableType:
    """Return the board for a terminal of `width` columns: a table for each protocol, then theorems and threat models.

    Certified accuracies are in percent, rounded down. The best value of each column is bold. Columns that do not fit
    are in a further table below.
    """
    if not board.groups:
        empty = f"no sealed run for {board.norm}: run rsbench sweep, or rsbench certify with your own checkpoint"
        return Stack(Text(empty), *map(Text, board.excluded), *_incomplete(board))
    about = f"Certified accuracy in % at {board.norm} radius r (pixel range [0, 1])"
    parts: list[RenderableType] = [Text(about, style="dim"), Text()]
    for group in board.groups:
        parts.append(Text(group.protocol.heading, style="bold"))
        parts += [*_tables(board, group, width), Text()]
    return Stack(*parts, _legend(board), _theorems(board), *map(Text, board.excluded), *_incomplete(board))


def _columns(board: Leaderboard, group: Group) -> list[_Column]:
    rows = group.rows
    certified = [
        _Column(f"r = {radius}", tuple(row.cells[i] for row in rows), percent_down)
        for i, radius in enumerate(board.radii)
    ]
    clean = _Column("clean†", tuple(row.clean for row in rows), percent_down)
    return [clean, *certified, _Column("ACR", tuple(row.average_radius for row in rows), radius_text)]


def _tables(board: Leaderboard, group: Group, width: int) -> Iterator[Table]:
    columns = _columns(board, group)
    while columns:
        tables = (_table(board, group, columns[:count]) for count in range(len(columns), 0, -1))
        fitting = next((table for table in tables if _width(table) <= width), _table(board, group, columns[:1]))
        yield fitting
        columns = columns[len(fitting.columns) - _LEADING[board.select_best] :]


def _width(table: Table) -> int:
    return Measurement.get(_MEASURING, _MEASURING.options, table).maximum


def _table(board: Leaderboard, group: Group, columns: Sequence[_Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("method", no_wrap=True)
    if not board.select_best:
        for heading in ("σ", "seed", "run"):
            table.add_column(heading, justify="left" if heading == "run" else "right", no_wrap=True)
    for column in columns:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for i, row in enumerate(group.rows):
        run = [] if board.select_best else _run_cells(row)
        numbers = [_number(column, column.cells[i], with_sigma=board.select_best) for column in columns]
        table.add_row(_method(row, group, board), *run, *numbers)
    return table


def _method(row: Row, group: Group, board: Leaderboard) -> Text:
    entry = row.entry
    budgets = {other.entry.budget for other in group.rows if other.entry.method == entry.method}
    votes = "exact" if entry.n_estimate is None else f"n {entry.n_estimate:,}"
    below = []
    if len(budgets) > 1 and entry.n_estimate is not None:
        below = entry.budget.rsplit(" · α ", 1)
        below[-1] = f"α {below[-1]}"
    elif board.select_best:
        below = [votes]
    if board.select_best:
        below[-1] += f" · {row.seeds_label}" if row.seeds_label else ""
    below += [line for line in (entry.remark, entry.training_text, entry.variant, row.reproduced_label) if line]
    return Text.assemble(entry.title, *((f"\n{line}", "dim") for line in below))


def _run_cells(row: Row) -> list[str]:
    (run,) = row.clean.configuration.runs
    return [sigma_text(run.sigma), seed_text(seed_of(run)), run.fingerprint[:12]]


def _number(column: _Column, cell: Cell, *, with_sigma: bool) -> Text:
    is_best = cell.value == max(other.value for other in column.cells) > 0
    text = Text(column.text(cell.value), style="bold" if is_best else "")
    if cell.spread is not None and column.text is percent_down:
        text.append(f" {spread_text(cell.spread)}", style="not bold dim")
    if with_sigma:
        mark = " *" if cell.sigma_selected else ""
        text.append(f"\nσ {sigma_text(cell.configuration.sigma)}{mark}", style="not bold dim")
    return text


def _theorems(board: Leaderboard) -> Table:
    titles: dict[str, list[str]] = defaultdict(list)
    for row in (row for group in board.groups for row in group.rows):
        titles[_facts(board, row)].append(row.entry.title)
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for facts, names in titles.items():
        table.add_row(Text(", ".join(dict.fromkeys(names)), style="dim"), Text(facts, style="dim"))
    return table


def _facts(board: Leaderboard, row: Row) -> str:
    theorem = row.entry.theorem
    ball = f"{theorem.ball} {board.norm} ball, {row.entry.threat_model}"
    caveats = f"; {row.entry.caveats}" if row.entry.caveats else ""
    return f"{theorem.name}: {theorem.source}; {ball}; needs {theorem.condition}; {row.entry.budget}{caveats}"


def _legend(board: Leaderboard) -> Text:
    spread = "± standard deviation over seeds; " if board.select_best else ""
    text = Text(f"{spread}† abstention = wrong; ACR: average certified radius", style="dim")
    if board.any_selected:
        text.append(f"\n* {SELECTED_ON_TEST}", style="not dim")
    return text.append("\n")


def _incomplete(board: Leaderboard) -> list[RenderableType]:
    if not board.incomplete:
        return []
    verb = "is" if board.incomplete == 1 else "are"
    return [
        Text(f"{count_text(board.incomplete, 'run')} {verb} incomplete and not shown: the same command resumes them")
    ]
