"""The leaderboard: certified accuracy at chosen radii, ranked within each protocol."""

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
    """One number of the board."""

    value: float
    """Mean over seeds."""

    spread: float | None
    """Sample standard deviation over seeds, None where there is only one."""

    configuration: Configuration
    """The runs that the number comes from."""

    sigma_selected: bool
    """Whether σ was selected among several because it gives the best value on the test images."""


@dataclass(frozen=True, eq=False)
class Row:
    """One row of the board. Each of its cells may come from another σ."""

    entry: BoardEntry
    cells: tuple[Cell, ...]
    """Certified accuracies at the board's radii."""

    clean: Cell
    """Clean accuracy, where an abstention counts as wrong."""

    average_radius: Cell
    """Average certified radius."""

    @property
    def all_cells(self) -> tuple[Cell, ...]:
        """The cells at the radii, then the clean accuracy, then the average certified radius."""
        return (*self.cells, self.clean, self.average_radius)

    @property
    def seeds_label(self) -> str:
        """Over how many seeds the numbers are averaged: "3 seeds", or "2 to 3 seeds" if that differs between them.

        Empty if no seed is known.
        """
        counts = sorted({len(cell.configuration.seeds) for cell in self.all_cells})
        if counts == [0]:
            return ""
        return count_text(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"

    @property
    def reproduced_label(self) -> str:
        """How many runs of the row were reproduced by another run; empty if none was."""
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
    """The rows of all protocols."""

    norm: str
    radii: tuple[str, ...]
    """As typed, in units of the pixel range [0, 1]."""

    groups: tuple[Group, ...]
    select_best: bool
    """Whether each number has the σ that gives the best value; otherwise every run has its own row."""

    incomplete: int
    """How many runs were begun and not sealed. They are not on the board."""

    excluded: tuple[str, ...] = ()
    """Which runs are excluded from ranking and why, a line for each reason."""

    @property
    def any_selected(self) -> bool:
        """Whether any σ on the board was selected by its result."""
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
    """Rank sealed runs whose certificate holds in a norm. Runs are averaged over seeds only, see `configurations`.

    counts: how many images the curves of the runs certify at the radii. radii: as typed. incomplete: how many runs were
    begun and not sealed.
    select_best: show for each number the σ that gives the best value. That selection uses the test images, and every
    cell that it concerns is marked. Otherwise every run has its own row.
    Raises UsageError when the norm is unknown or a radius is not a radius, KeyError when `counts` lacks a curve.
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
    """Return a line for each row and radius, in full precision.

    `clean_accuracy`, `abstention_rate` and `average_certified_radius` are those of the line's own σ. `seeds` and `runs`
    are separated by spaces. The budget is missing if every split is evaluated.
    """
    lines = [
        _line(board, group, row, radius, cell)
        for group in board.groups
        for row in group.rows
        for radius, cell in zip(board.radii, row.cells, strict=True)
    ]
    return pd.DataFrame(lines, columns=list(_COLUMNS)).astype({"n_select": "Int64", "n_estimate": "Int64"})


def leaderboard_json(board: Leaderboard) -> dict[str, Any]:
    """Return the board as plain JSON values, schema 1, in full precision. Shares are between 0 and 1."""
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
    # `max` returns the first of equal values, and so the smallest σ.
    choices.sort(key=lambda c: c.sigma)
    selected = len(choices) > 1

    def best(value: Callable[[Configuration], float]) -> Configuration:
        return max(choices, key=value)

    def cell_at(radius: str) -> Cell:
        best_at = best(lambda c: c.certified_accuracy(radius, counts))
        accuracy, spread = best_at.certified_accuracy(radius, counts), best_at.certified_spread(radius, counts)
        return Cell(accuracy, spread, best_at, selected)

    clean = best(lambda c: c.clean_accuracy)
    widest = best(lambda c: c.average_certified_radius)
    return Row(
        entry=choices[0].entry,
        cells=tuple(map(cell_at, radii)),
        clean=Cell(clean.clean_accuracy, clean.clean_spread, clean, selected),
        average_radius=Cell(widest.average_certified_radius, widest.average_radius_spread, widest, selected),
    )


def _best_first(row: Row) -> tuple[object, ...]:
    first = row.cells[0].configuration
    return (*(-cell.value for cell in row.cells), row.entry.method, row.entry.budget, first.sigma, first.seeds)


def _line(board: Leaderboard, group: Group, row: Row, radius: str, cell: Cell) -> dict[str, object]:
    protocol, entry, configuration = group.protocol, row.entry, cell.configuration
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
        "sigma": configuration.sigma,
        "sigma_selected": cell.sigma_selected,
        "seeds": " ".join(map(str, configuration.seeds)),
        "runs": " ".join(run.fingerprint for run in configuration.runs),
        "clean_accuracy": configuration.clean_accuracy,
        "abstention_rate": configuration.abstention_rate,
        "average_certified_radius": configuration.average_certified_radius,
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
    configuration = cell.configuration
    return {
        "value": json_number(cell.value),
        "spread": cell.spread,
        "sigma": configuration.sigma,
        "sigma_selected": cell.sigma_selected,
        "seeds": list(configuration.seeds),
        "runs": [run.fingerprint for run in configuration.runs],
        "abstention_rate": configuration.abstention_rate,
    }
