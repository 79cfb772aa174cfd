"""The leaderboard: certified accuracy at chosen radii, ranked within one protocol and never across two."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from rsbench.errors import UsageError
from rsbench.records import NORMS, CertifiedCounts, RunRecord
from rsbench.report.configuration import BoardEntry, Configuration, configurations
from rsbench.report.numbers import checked_radii, count_text, json_number
from rsbench.report.ranking import STANDING_WARNING, Protocol, exclusion_lines, protocol_of, ranked
from rsbench.report.run_facts import TIER_TEXT, may_hold_in

SELECTED_ON_TEST = "σ selected on the test images: exploratory"


@dataclass(frozen=True, eq=False)
class Cell:
    """One number of the board: a mean over seeds, its spread (None with one seed), and whose it is.

    `sigma_selected` says that σ was the best of several at this very number, as the test images have it.
    """

    value: float
    spread: float | None
    configuration: Configuration
    sigma_selected: bool


@dataclass(frozen=True, eq=False)
class Row:
    """One line: `cells` stand at the board's radii. Each cell, and `clean` and `average_radius`, has its own σ."""

    entry: BoardEntry
    cells: tuple[Cell, ...]
    clean: Cell
    average_radius: Cell

    @property
    def all_cells(self) -> tuple[Cell, ...]:
        """The cells at the radii, then the clean accuracy, then the average certified radius."""
        return (*self.cells, self.clean, self.average_radius)

    @property
    def seeds_label(self) -> str:
        """How many seeds stand behind the numbers: "3 seeds", or "2 to 3 seeds" where it differs between them.

        Empty where no seed is known.
        """
        counts = sorted({len(cell.configuration.seeds) for cell in self.all_cells})
        if counts == [0]:
            return ""
        return count_text(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"

    @property
    def reproduced_label(self) -> str:
        """How many of the runs behind the numbers another run reproduced; empty where none."""
        runs = {run.fingerprint: run for cell in self.all_cells for run in cell.configuration.runs}
        reproduced = sum(run.tier == "reproduced" for run in runs.values())
        if len(runs) == reproduced == 1:
            return TIER_TEXT["reproduced"]
        return f"{reproduced} of {count_text(len(runs), 'run')} reproduced" if reproduced else ""


@dataclass(frozen=True, eq=False)
class Group:
    """The rows of one protocol, best first."""

    protocol: Protocol
    rows: tuple[Row, ...]


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A board at `radii`, as typed, in units of the pixel range [0, 1].

    `incomplete` runs are not on it, nor are those that `excluded` names, a line for each reason.
    """

    norm: str
    radii: tuple[str, ...]
    groups: tuple[Group, ...]
    select_best: bool
    incomplete: int
    excluded: tuple[str, ...] = ()

    @property
    def any_selected(self) -> bool:
        """Whether any σ on the board was chosen by its result."""
        return any(cell.sigma_selected for group in self.groups for row in group.rows for cell in row.all_cells)


def leaderboard(
    runs: Sequence[RunRecord],
    counts: CertifiedCounts,
    *,
    norm: str,
    radii: Sequence[str],
    incomplete: int,
    select_best: bool = True,
) -> Leaderboard:
    """The board of sealed runs whose certificate holds in `norm`, at `radii` (as typed).

    counts: how many images the curves of the runs certify at these radii.

    With `select_best`, a method has one row for each budget, and each number is that of the σ which is best at it:
    that choice looks at the test images, and every such cell says so. Without, every run has its own row.
    Runs are averaged over their seeds and nothing else (see `configurations`). `incomplete`: how many runs were begun
    and not sealed. Raises UsageError for an unknown norm or a radius that is none.
    """
    if norm not in NORMS:
        raise UsageError(f"unknown norm {norm!r}: choose from {', '.join(NORMS)}")
    checked = checked_radii(radii)
    in_norm = [run for run in runs if may_hold_in(run, norm)]
    by_protocol: dict[Protocol, list[RunRecord]] = defaultdict(list)
    for run in ranked(in_norm):
        by_protocol[protocol_of(run)].append(run)
    ordered = sorted(by_protocol.items(), key=lambda item: _place(item[0]))
    groups = tuple(Group(protocol, _rows(members, counts, checked, select_best)) for protocol, members in ordered)
    return Leaderboard(norm, checked, groups, select_best, incomplete, tuple(exclusion_lines(in_norm)))


def leaderboard_frame(board: Leaderboard) -> pd.DataFrame:
    """One line a row and radius, in full precision.

    `clean_accuracy`, `abstention_rate` and `average_certified_radius` are those of the line's own σ. `seeds` and `runs`
    are lists between spaces; the budget is missing where every noisy copy is visited.
    """
    lines = [
        _line(board, group, row, radius, cell)
        for group in board.groups
        for row in group.rows
        for radius, cell in zip(board.radii, row.cells, strict=True)
    ]
    return pd.DataFrame(lines, columns=list(_COLUMNS)).astype({"n_select": "Int64", "n_estimate": "Int64"})


def leaderboard_json(board: Leaderboard) -> dict[str, Any]:
    """The board as plain JSON values, schema 1, in full precision; shares are between 0 and 1."""
    return {
        "schema": 1,
        "norm": board.norm,
        "radii": list(board.radii),
        "sigma_selected_on_test_images": board.any_selected,
        "incomplete_runs": board.incomplete,
        "excluded_from_ranking": list(board.excluded),
        "groups": [
            asdict(group.protocol)
            | {
                "exploratory": group.protocol.standing == "exploratory",
                "images_label": group.protocol.images_label,
                "rows": [_row_json(board, row) for row in group.rows],
            }
            for group in board.groups
        ],
    }


_COLUMNS = (
    "group", "dataset", "fingerprint", "images", "method", "variant", "certificate", "ball", "threat_model",
    "condition", "norm",
    "n_select", "n_estimate", "failure_probability", "radius", "certified_accuracy", "spread", "sigma",
    "sigma_selected", "seeds", "runs", "clean_accuracy", "abstention_rate", "average_certified_radius",
)  # fmt: skip


def _place(protocol: Protocol) -> tuple[object, ...]:
    standing = list(STANDING_WARNING).index(protocol.standing)
    return protocol.dataset, standing, -protocol.image_count, protocol.images, protocol.fingerprint


def _rows(
    runs: Sequence[RunRecord], counts: CertifiedCounts, radii: tuple[str, ...], select_best: bool
) -> tuple[Row, ...]:
    lines: dict[object, list[Configuration]] = defaultdict(list)
    if select_best:
        for configuration in configurations(runs):
            lines[configuration.entry].append(configuration)
    else:
        for i, run in enumerate(runs):
            lines[i] = configurations([run])
    rows = [_row(choices, counts, radii) for choices in lines.values()]
    return tuple(sorted(rows, key=_best_first))


def _row(choices: list[Configuration], counts: CertifiedCounts, radii: tuple[str, ...]) -> Row:
    # On a tie the first, and so the smallest, σ is taken.
    choices.sort(key=lambda c: c.sigma)
    selected = len(choices) > 1

    def best(measured: Callable[[Configuration], float]) -> Configuration:
        return max(choices, key=measured)

    def at(radius: str) -> Cell:
        shown = best(lambda c: c.certified_accuracy(radius, counts))
        accuracy, spread = shown.certified_accuracy(radius, counts), shown.certified_spread(radius, counts)
        return Cell(accuracy, spread, shown, selected)

    clean = best(lambda c: c.clean_accuracy)
    widest = best(lambda c: c.average_certified_radius)
    return Row(
        entry=choices[0].entry,
        cells=tuple(map(at, radii)),
        clean=Cell(clean.clean_accuracy, clean.clean_spread, clean, selected),
        average_radius=Cell(widest.average_certified_radius, widest.average_radius_spread, widest, selected),
    )


def _best_first(row: Row) -> tuple[object, ...]:
    first = row.cells[0].configuration
    return (*(-cell.value for cell in row.cells), row.entry.method, row.entry.budget, first.sigma, first.seeds)


def _line(board: Leaderboard, group: Group, row: Row, radius: str, cell: Cell) -> dict[str, object]:
    protocol, entry, shown = group.protocol, row.entry, cell.configuration
    return {
        "group": protocol.heading,
        "dataset": protocol.dataset,
        "fingerprint": protocol.fingerprint,
        "images": protocol.images,
        "method": entry.method,
        "variant": entry.label,
        "certificate": entry.certificate,
        "ball": entry.theorem.ball,
        "threat_model": entry.threat_model,
        "condition": entry.theorem.condition,
        "norm": board.norm,
        "n_select": entry.n_select,
        "n_estimate": entry.n_estimate,
        "failure_probability": entry.failure_probability,
        "radius": radius,
        "certified_accuracy": cell.value,
        "spread": cell.spread,
        "sigma": shown.sigma,
        "sigma_selected": cell.sigma_selected,
        "seeds": " ".join(map(str, shown.seeds)),
        "runs": " ".join(run.fingerprint for run in shown.runs),
        "clean_accuracy": shown.clean_accuracy,
        "abstention_rate": shown.abstention_rate,
        "average_certified_radius": shown.average_certified_radius,
    }


def _row_json(board: Leaderboard, row: Row) -> dict[str, Any]:
    entry, theorem = row.entry, row.entry.theorem
    sampled = None if entry.n_estimate is None else {
        "n_select": entry.n_select,
        "n_estimate": entry.n_estimate,
        "failure_probability": entry.failure_probability,
    }  # fmt: skip
    return {
        "method": entry.method,
        "title": entry.title,
        "variant": entry.label,
        "certificate": {
            "name": theorem.name,
            "procedure": entry.procedure,
            "source": theorem.source,
            "ball": theorem.ball,
            "threat_model": entry.threat_model,
            "condition": theorem.condition,
        },
        "budget": sampled,
        "certified_accuracy": [
            {"radius": radius} | _cell_json(cell) for radius, cell in zip(board.radii, row.cells, strict=True)
        ],
        "clean_accuracy": _cell_json(row.clean),
        "average_certified_radius": _cell_json(row.average_radius),
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    shown = cell.configuration
    return {
        "value": json_number(cell.value),
        "spread": cell.spread,
        "sigma": shown.sigma,
        "sigma_selected": cell.sigma_selected,
        "seeds": list(shown.seeds),
        "runs": [run.fingerprint for run in shown.runs],
        "abstention_rate": shown.abstention_rate,
    }
