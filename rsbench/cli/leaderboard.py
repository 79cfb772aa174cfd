"""`rsbench leaderboard`: certified accuracy by method and radius."""

import sys
from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich
from rsbench.errors import UsageError
from rsbench.report.numbers import DEFAULT_RADII, split_radii, thresholds


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
    """Print the leaderboard of sealed runs; the best sigma of a method unless --all."""
    if json and csv:
        raise UsageError("--json and --csv exclude each other")

    from rsbench.report.leaderboard import leaderboard as build
    from rsbench.report.leaderboard import leaderboard_frame, leaderboard_json
    from rsbench.report.reported import reported_json, reported_tables
    from rsbench.report.reported_text import reported_text
    from rsbench.report.terminal import leaderboard_table
    from rsbench.store.store import Store

    radii = split_radii(radius)
    with Store.open_existing(o.database(db)) as store:
        runs = store.with_certified(store.sealed_runs(dataset, exploratory=exploratory), thresholds(radii))
        incomplete = len(store.incomplete_runs(dataset))
        known = store.dataset_names()
        figures = store.reported(dataset)
    if dataset is not None and not runs and dataset not in known and not figures:
        raise UsageError(f"no sealed run on {dataset!r}: there are runs on {', '.join(known) or 'no data set yet'}")
    board = build(runs, norm=norm, radii=radii, incomplete=incomplete, select_best=not all_runs)
    shown = [group.protocol.dataset for group in board.groups] if dataset is None else [dataset]
    papers = reported_tables(figures, datasets=shown, norm=norm, radii=radii)
    if json:
        print_json(leaderboard_json(board) | {"reported": [reported_json(table) for table in papers]})
    elif csv:
        leaderboard_frame(board).to_csv(sys.stdout, index=False)
    else:
        print_rich(leaderboard_table(board), *(part for table in papers for part in ("", reported_text(table))))
