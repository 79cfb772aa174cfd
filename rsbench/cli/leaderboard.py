"""`rsbench leaderboard`: certified accuracy by method and radius."""

import sys
from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich
from rsbench.errors import UsageError
from rsbench.records import NORMS
from rsbench.report.numbers import DEFAULT_RADII, split_radii


def leaderboard(
    dataset: o.Dataset = None,
    norm: Annotated[str, typer.Option(envvar="RSBENCH_NORM", help="l1 or l2.")] = "l1",
    radius: Annotated[
        str, typer.Option(envvar="RSBENCH_RADIUS", help="Radii between commas, pixels in [0,1].")
    ] = DEFAULT_RADII,
    all_runs: Annotated[bool, typer.Option("--all", help="A row for every run, none selected.")] = False,
    exploratory: Annotated[
        bool, typer.Option("--exploratory", help="With curves whose n or alpha was chosen after a result was seen.")
    ] = False,
    db: o.Database = None,
    json: o.Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, in full precision.")] = False,
) -> None:
    """Print the leaderboard of sealed runs.

    Each number is that of the method's best sigma, unless you give --all.
    """
    radii, chosen_norm = split_radii(radius), o.choice("--norm", norm, NORMS)
    if json and csv:
        raise UsageError("--json and --csv exclude each other: choose one")

    from rsbench.report.leaderboard import leaderboard as rank
    from rsbench.report.leaderboard import leaderboard_frame, leaderboard_json
    from rsbench.report.reported import reported_json, reported_tables, reported_text
    from rsbench.report.runs import open_report
    from rsbench.report.terminal import leaderboard_table

    report = open_report(o.database(db), dataset=dataset, exploratory=exploratory)
    counts = report.certified_counts(report.sealed, radii)
    incomplete, select_best = len(report.incomplete), not all_runs
    board = rank(report.sealed, counts, norm=chosen_norm, radii=radii, incomplete=incomplete, select_best=select_best)
    datasets = [group.protocol.dataset for group in board.groups] if dataset is None else [dataset]
    papers = reported_tables(report.reported, datasets=datasets, norm=norm, radii=radii)
    if json:
        print_json(leaderboard_json(board) | {"reported": [reported_json(table) for table in papers]})
    elif csv:
        leaderboard_frame(board).to_csv(sys.stdout, index=False)
    else:
        print_rich(leaderboard_table(board), *(part for table in papers for part in ("", reported_text(table))))
