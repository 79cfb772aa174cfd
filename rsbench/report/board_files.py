"""The board as a file for people, with what the store knows beside it."""

from collections.abc import Sequence

from rsbench.records import RunRecord
from rsbench.report.latex import latex_board
from rsbench.report.leaderboard import Leaderboard
from rsbench.report.reported import ReportedTable, reported_tables
from rsbench.report.runs import Report
from rsbench.report.static_board import static_board
from rsbench.store.store import Store
from rsbench.version import installed_version


def latex_file(board: Leaderboard, report: Report) -> bytes:
    """The board's tables for LaTeX, and those of the papers below."""
    return latex_board(board, _papers(board, report), version=installed_version()).encode()


def html_file(board: Leaderboard, runs: Sequence[RunRecord], report: Report) -> bytes:
    """The board as a page of its own, with the curves and the commands of the runs that it was made of."""
    with Store.open_existing(report.location) as store:
        provenances = {run.fingerprint: store.details(run.id).provenances for run in runs}
    papers = _papers(board, report)
    page = static_board(board, runs, report.step_curves(runs), provenances, papers, version=installed_version())
    return page.encode()


def _papers(board: Leaderboard, report: Report) -> list[ReportedTable]:
    datasets = [group.protocol.dataset for group in board.groups]
    return reported_tables(report.reported, datasets=datasets, norm=board.norm, radii=board.radii)
