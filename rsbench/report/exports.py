"""The files that `rsbench export` writes. The suffix of a file gives its format, and no file is replaced unasked.

Modules that draw charts take a second to import, so that only the functions which need them import them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from rsbench.errors import UsageError
from rsbench.records import ImageColumns, ReportedFigure, RunRecord
from rsbench.report.curves import curve_frame
from rsbench.report.leaderboard import leaderboard, leaderboard_frame
from rsbench.report.numbers import count_text, radius_text
from rsbench.report.ranking import exclusion_lines, ranked
from rsbench.report.reported import figures_frame, reported_tables
from rsbench.report.run_facts import certificate_of
from rsbench.report.runs import Report, RunFilters, matching_runs
from rsbench.version import installed_version

TABLE_SUFFIXES = (".parquet", ".csv")
FIGURE_SUFFIXES = (".svg", ".pdf", ".png")
BOARD_SUFFIXES = (".html", ".tex", *TABLE_SUFFIXES)

# The last digit of a radius in the tab-separated form.
_TSV_STEP = Decimal("0.001")


@dataclass(frozen=True, eq=False)
class ExportedFile:
    """The content of a file, and what it holds in a few words, such as "3 rows"."""

    content: bytes
    summary: str


def check_target(target: Path, suffixes: Sequence[str], *, replace: bool) -> str:
    """Return the suffix of a file that is to be written, in lower case.

    Raises UsageError when it is none of `suffixes`, and where `check_free` does.
    """
    suffix = target.suffix.lower()
    if suffix not in suffixes:
        described = f"the suffix {target.suffix!r} is not a known format" if target.suffix else "the file has no suffix"
        raise UsageError(f"--to {target}: {described}: choose {' or '.join(suffixes)}")
    check_free(target, replace=replace)
    return suffix


def check_free(target: Path, *, replace: bool) -> None:
    """Raise UsageError when the folder of a file is missing, or when the file exists and may not be replaced."""
    if not target.parent.is_dir():
        raise UsageError(f"--to {target}: the folder {target.parent} does not exist: create it first")
    if target.is_dir():
        raise UsageError(f"--to {target}: this is a folder: name a file in it")
    if target.exists() and not replace:
        raise UsageError(f"--to {target}: this file exists: name another, or replace it with --force")


def images_file(runs: Sequence[tuple[RunRecord, ImageColumns]], suffix: str) -> ExportedFile:
    """Return a table with a row for each image of some sealed runs. Raises UsageError when one is not sealed."""
    for run, _ in runs:
        _check_sealed(run)
    frame = images_frame(runs)
    return ExportedFile(
        table_bytes(frame, suffix), f"{count_text(len(frame), 'image')} of {count_text(len(runs), 'run')}"
    )


def curves_file(report: Report, suffix: str, filters: RunFilters) -> ExportedFile:
    """Return a table with a row for each step of the curves that match, see `curve_frame`.

    Raises UsageError when no curve matches.
    """
    frame, curves = _drawn_curves(report, filters)
    summary = f"{count_text(len(frame), 'step')} of {count_text(curves, 'curve')}"
    return ExportedFile(table_bytes(frame, suffix), summary)


def figure_file(report: Report, suffix: str, filters: RunFilters) -> ExportedFile:
    """Return a figure for print of the curves that match. Raises UsageError when no curve matches."""
    from rsbench.report.figures import figure_bytes, print_figure

    frame, curves = _drawn_curves(report, filters)
    summary = f"{count_text(curves, 'curve')} in {count_text(frame['group'].nunique(), 'panel')}"
    return ExportedFile(figure_bytes(print_figure(frame), suffix), summary)


def board_file(
    report: Report, suffix: str, filters: RunFilters, radii: Sequence[str], *, select_best: bool
) -> ExportedFile:
    """Return the leaderboard as a page for a browser, LaTeX tables, or a table in full precision.

    radii: as typed. Raises UsageError when no run matches or one is not a radius.
    """
    runs = matching_runs(report, filters)
    board = leaderboard(
        runs,
        report.certified_counts(runs, radii),
        norm=filters.norm,
        radii=radii,
        incomplete=len(report.incomplete),
        select_best=select_best,
    )
    summary = count_text(sum(len(group.rows) for group in board.groups), "row")
    if suffix in TABLE_SUFFIXES:
        return ExportedFile(table_bytes(leaderboard_frame(board), suffix), summary)
    datasets = [group.protocol.dataset for group in board.groups]
    papers = reported_tables(report.reported, datasets=datasets, norm=board.norm, radii=board.radii)
    if suffix == ".tex":
        from rsbench.report.latex import latex_board

        return ExportedFile(latex_board(board, papers, version=installed_version()).encode(), summary)
    from rsbench.report.static_board import static_board

    page = static_board(
        board, runs, report.step_curves(runs), report.provenances(runs), papers, version=installed_version()
    )
    return ExportedFile(page.encode(), summary)


def reported_file(figures: Sequence[ReportedFigure], suffix: str) -> ExportedFile:
    """Return a table with a row for each figure that a paper reports."""
    return ExportedFile(table_bytes(figures_frame(figures), suffix), count_text(len(figures), "figure"))


def tsv_file(run: RunRecord, images: ImageColumns) -> ExportedFile:
    """Return a run in the tab-separated form of the field's scripts. Raises UsageError when the run is not sealed."""
    _check_sealed(run)
    return ExportedFile(tsv_text(run, images).encode(), count_text(len(images), "image"))


def images_frame(runs: Sequence[tuple[RunRecord, ImageColumns]]) -> pd.DataFrame:
    """Return a row for each image of some runs, one run after the other.

    `predicted` is missing where the smoothed classifier abstained, `sigma` where σ was not chosen for the image.
    """
    frames = [
        pd.DataFrame(
            {
                "run": run.fingerprint,
                "index": images.index_N,
                "label": images.label_N,
                "predicted": pd.array(images.predicted_N, dtype="Int64"),
                "radius": images.radius_N,
                "sigma": np.full(len(images), np.nan) if images.sigma_N is None else images.sigma_N,
            }
        )
        for run, images in runs
    ]
    frame = pd.concat(frames, ignore_index=True)
    frame.loc[frame["predicted"] < 0, "predicted"] = pd.NA
    return frame


def table_bytes(frame: pd.DataFrame, suffix: str) -> bytes:
    """Return a frame as a file with one of TABLE_SUFFIXES. CSV keeps floats exactly."""
    if suffix == ".csv":
        return frame.to_csv(index=False, lineterminator="\n").encode()
    content = BytesIO()
    frame.to_parquet(content, engine="pyarrow", index=False)
    return content.getvalue()


def tsv_text(run: RunRecord, images: ImageColumns) -> str:
    """Return a header, then `idx label predict radius correct time` of every image; −1 and radius 0.0 on abstention.

    Radii have three decimals, rounded down. The scripts that read this form count an image as certified at r if its
    printed radius is at least r. The radius of an open ball is therefore printed strictly below its value. The time is
    0:00:00, because the store keeps times by chunk and not by image.
    """
    is_open = certificate_of(run).ball == "open"
    lines = ["idx\tlabel\tpredict\tradius\tcorrect\ttime"]
    columns = (images.index_N, images.label_N, images.predicted_N, images.radius_N, images.correct_N)
    for index, label, predicted, radius, correct in zip(*columns, strict=True):
        printed = "0.0" if predicted < 0 else _tsv_radius(float(radius), is_open=is_open)
        lines.append(f"{index}\t{label}\t{predicted}\t{printed}\t{int(correct)}\t0:00:00")
    return "\n".join(lines) + "\n"


def _tsv_radius(radius: float, *, is_open: bool) -> str:
    if math.isinf(radius):
        return "inf"
    text = radius_text(radius)
    return str(Decimal(text) - _TSV_STEP) if is_open and float(text) == radius > 0.0 else text


def _drawn_curves(report: Report, filters: RunFilters) -> tuple[pd.DataFrame, int]:
    """Return the steps of the curves that match, and how many curves they are."""
    runs = matching_runs(report, filters)
    if not (drawn := ranked(runs)):
        raise UsageError(f"no curve to draw: {exclusion_lines(runs)[0]}")
    return curve_frame(drawn, filters.norm, report.step_curves(drawn)), len(drawn)


def _check_sealed(run: RunRecord) -> None:
    if run.curve is None:
        raise UsageError(f"run {run.fingerprint[:12]} is not sealed: run the command that began it again")
