"""The board as one self-contained HTML file: tables, curves, provenance, and the commands that repeat the runs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup

from rsbench.methods import place_of, title_of
from rsbench.records import Provenance, RunRecord, StepCurve
from rsbench.report.colours import colours_on_dark, method_colour
from rsbench.report.commands import command_of, curve_command
from rsbench.report.curves import curve_frame
from rsbench.report.figures import GREY, GRID, INK, curve_svg
from rsbench.report.leaderboard import SELECTED_ON_TEST, Cell, Group, Leaderboard, Row, leaderboard_json
from rsbench.report.numbers import count_text, percent_down, radius_text, sigma_text, spread_text
from rsbench.report.ranking import annotation_text, protocol_of
from rsbench.report.reported import (
    REPORTED_TITLE,
    ReportedCell,
    ReportedRow,
    ReportedTable,
    network_of_cell,
    reported_json,
    reported_notes,
)
from rsbench.report.run_facts import TIER_TEXT, curve_text, may_hold_in, seed_of
from rsbench.report.tables import theorem_facts

# What a dark page draws instead of the greys of a chart.
_GREYS_ON_DARK = {INK: "#e6e8eb", GREY: "#9aa0a6", GRID: "#33373c", "#3c4043": "#c4c8cc"}


def static_board(
    board: Leaderboard,
    runs: Sequence[RunRecord],
    step_curves: Mapping[int, StepCurve],
    provenances: Mapping[str, Sequence[Provenance]],
    reported: Sequence[ReportedTable],
    *,
    version: str,
) -> str:
    """Return the page of a board, with the curves and the commands of the runs that it was made of.

    step_curves: whole curves, by the curve's id. provenances: by a run's fingerprint. reported: figures of papers.
    Nothing on the page depends on the time, so that the same store gives the same bytes.
    """
    frame = curve_frame(runs, board.norm, step_curves)
    curves_by_run: dict[str, list[RunRecord]] = {}
    for run in sorted(runs, key=_run_order):
        if may_hold_in(run, board.norm):
            curves_by_run.setdefault(run.fingerprint, []).append(run)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = environment.from_string((files("rsbench.report") / "static_board.html").read_text(encoding="utf-8"))
    return template.render(
        version=version,
        board=board,
        on_dark=_GREYS_ON_DARK | colours_on_dark(),
        groups=[
            _group(board, group, number, curve_svg(frame[frame["group"] == group.protocol.heading]))
            for number, group in enumerate(board.groups)
        ],
        reported=_reported_after(board, reported),
        reported_title=REPORTED_TITLE,
        facts=theorem_facts(board),
        runs=[_run(curves, provenances.get(name, ())) for name, curves in curves_by_run.items()],
        legend=_legend(board),
        incomplete=f"{count_text(board.incomplete, 'run')} begun and not finished: not shown."
        if board.incomplete
        else "",
        data=htmlsafe_json_dumps(_data(board, curves_by_run, reported, version), dumps=_compact),
    )


def _compact(value: Any, **_: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _data(
    board: Leaderboard, runs: Mapping[str, Sequence[RunRecord]], reported: Sequence[ReportedTable], version: str
) -> dict[str, Any]:
    return {
        "rsbench": version,
        "board": leaderboard_json(board),
        "reported": [reported_json(table) for table in reported],
        "runs": [
            {
                "run": run.fingerprint,
                "tier": run.tier,
                "data": run.dataset.fingerprint,
                "checkpoint": run.checkpoint_sha256,
                "seal": run.seal,
                "spec": run.spec.model_dump(mode="json"),
                "notes": list(run.notes),
                "annotations": [asdict(annotation) for annotation in run.annotations],
                "commands": _commands(curves),
                "needs": list(command_of(run).needs),
            }
            for curves in runs.values()
            for run in curves[:1]
        ],
    }


def _group(board: Leaderboard, group: Group, number: int, svg: str) -> dict[str, Any]:
    radii = [f"r = {radius}" for radius in board.radii]
    columns = [_cells([row.clean for row in group.rows], percent_down)]
    columns += [_cells([row.cells[i] for row in group.rows], percent_down) for i in range(len(radii))]
    columns.append(_cells([row.average_radius for row in group.rows], radius_text))
    # The clipping paths of each drawing need names that no other drawing on the page has.
    renamed = svg.replace('id="clip', f'id="g{number}-clip').replace("url(#clip", f"url(#g{number}-clip")
    return {
        "protocol": group.protocol,
        "warning": group.protocol.warning,
        "headings": ["clean", *radii, "ACR"],
        "rows": [
            {
                "title": row.entry.title,
                "colour": method_colour(row.entry.method),
                "below": [line for line in (row.entry.budget, _seeds(row, board), row.entry.label) if line],
                "cells": [column[i] for column in columns],
            }
            for i, row in enumerate(group.rows)
        ],
        "svg": Markup(renamed),  # noqa: S704 - drawn here; the library that draws it escapes the names in it
    }


def _cells(cells: Sequence[Cell], text: Callable[[float], str]) -> list[dict[str, Any]]:
    best = max(cell.value for cell in cells)
    return [
        {
            "text": text(cell.value),
            "best": cell.value == best > 0,
            "spread": "" if cell.spread is None or text is not percent_down else spread_text(cell.spread),
            "sigma": sigma_text(cell.configuration.sigma),
            "selected": cell.sigma_selected,
            "run": cell.configuration.runs[0].fingerprint[:12],
        }
        for cell in cells
    ]


def _seeds(row: Row, board: Leaderboard) -> str:
    seed = seed_of(row.clean.configuration.runs[0])
    if seed is None:
        return ""
    return row.seeds_label if board.select_best else f"seed {seed}"


def _legend(board: Leaderboard) -> list[str]:
    legend = [
        "Percent of all images, rounded down; the best value of a column is bold.",
        "Clean: classified correctly without a perturbation; an abstention counts as wrong.",
        "ACR: average certified radius, 0 where the class is wrong.",
    ]
    if board.select_best:
        legend.append("±: standard deviation over seeds. The σ below a number is a link to its runs.")
    return [*legend, f"* {SELECTED_ON_TEST}."] if board.any_selected else legend


def _reported_after(board: Leaderboard, reported: Sequence[ReportedTable]) -> dict[int, dict[str, Any]]:
    """Return the tables of papers by the number of the group below which they stand: the last one of their dataset."""
    last = {group.protocol.dataset: number for number, group in enumerate(board.groups)}
    return {last[table.dataset]: _reported(table) for table in reported if table.dataset in last}


def _reported(table: ReportedTable) -> dict[str, Any]:
    shown = [i for i in range(len(table.radii)) if any(row.cells[i] for row in table.rows)]
    headings = [*(["r = 0"] if table.with_zero else []), *(f"r = {table.radii[i]}" for i in shown)]
    return {
        "dataset": table.dataset,
        "norm": table.norm,
        "headings": [*headings, *(["ACR"] if table.with_average else [])],
        "rows": [
            {
                "source": row.source,
                "images": row.images or "",
                "label": row.label,
                "marks": f"{' *' if row.selected else ''}{' ‡' if row.doubts else ''}",
                "below": [line for line in (_paper_sigma(row), row.budget) if line],
                "cells": [
                    *([_paper_cell(row, row.at_zero)] if table.with_zero else []),
                    *(_paper_cell(row, row.cells[i]) for i in shown),
                    *([{"text": str(row.average_radius or "–"), "below": ""}] if table.with_average else []),
                ],
            }
            for row in table.rows
        ],
        "notes": reported_notes(table),
    }


def _paper_sigma(row: ReportedRow) -> str:
    return "" if row.sigma is None else f"σ {sigma_text(row.sigma)}"


def _paper_cell(row: ReportedRow, cell: ReportedCell | None) -> dict[str, str]:
    if cell is None:
        return {"text": "–", "below": ""}
    return {"text": percent_down(cell.value), "below": "" if row.sigma is not None else network_of_cell(cell)}


def _run(curves: Sequence[RunRecord], provenances: Sequence[Provenance]) -> dict[str, Any]:
    """Return the facts of a run, which is given once for each of its curves."""
    run = curves[0]
    seed = seed_of(run)
    hashes = {"run": run.fingerprint, "seal": run.seal, "checkpoint": run.checkpoint_sha256}
    hashes["data"] = run.dataset.fingerprint
    return {
        "anchor": run.fingerprint[:12],
        "title": f"{title_of(run.method)}, σ {sigma_text(run.sigma)}" + ("" if seed is None else f", seed {seed}"),
        "on": f"{run.dataset.name}, {protocol_of(run).images_label}",
        "hashes": {name: value for name, value in hashes.items() if value is not None},
        # A line is broken only between words.
        "commands": [line.split(" ") for line in _commands(curves)],
        "facts": [
            *(("needs", need) for need in command_of(run).needs),
            *(("curve", curve_text(each.curve)) for each in curves if each.curve),
            *(("computed", text) for text in map(_provenance_text, provenances)),
            *([("sealed", run.sealed_at)] if run.sealed_at else []),
            *([("numbers", TIER_TEXT[run.tier])] if TIER_TEXT[run.tier] else []),
            *(("note", note) for note in run.notes),
            *(("annotation", annotation_text(annotation)) for annotation in run.annotations),
        ],
    }


def _commands(curves: Sequence[RunRecord]) -> list[str]:
    return [command_of(curves[0]).line, *(line for line in map(curve_command, curves) if line)]


def _provenance_text(provenance: Provenance) -> str:
    git = "no git checkout" if provenance.git_revision is None else f"git {provenance.git_revision[:12]}"
    changes = ", changed" if provenance.git_dirty else ""
    return f"rsbench {provenance.rsbench_version}, {git}{changes}, on {provenance.device}"


def _run_order(run: RunRecord) -> tuple[object, ...]:
    seed = seed_of(run)
    order = (run.dataset.name, run.images, place_of(run.method), run.sigma, -1 if seed is None else seed)
    return (*order, run.fingerprint)
