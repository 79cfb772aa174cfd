"""`rsbench export`: results as files for other programs, for papers and for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.atomic_files import write_atomically
from rsbench.cli import options as o
from rsbench.cli.output import say
from rsbench.errors import UsageError
from rsbench.report.numbers import DEFAULT_RADII, count_text, split_radii

if TYPE_CHECKING:
    from rsbench.records import RunRecord
    from rsbench.report.runs import Report

app = typer.Typer(
    help="Write results to files: tables, figures, LaTeX, a page for a browser. Their format follows from the suffix.",
    no_args_is_help=True,
)

_Norm = Annotated[str, typer.Option(envvar="RSBENCH_NORM", help="l1 or l2.")]
_Methods = Annotated[str | None, typer.Option("--method", help="Only these methods, between commas.")]
_Sigmas = Annotated[str | None, typer.Option("--sigma", help="Only these standard deviations, between commas.")]
_Seeds = Annotated[str | None, typer.Option("--seed", help="Only these seeds, between commas.")]
_Exploratory = Annotated[
    bool, typer.Option("--exploratory", help="With curves whose n or alpha was chosen after a result was seen.")
]
_Table = Annotated[Path, typer.Option("--to", help="The file to write: .parquet or .csv.")]
_Force = Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")]


@app.command()
def images(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="The starts of runs' fingerprints.")],
    to: _Table,
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Write a line for every image of some sealed runs: label, predicted class, radius."""
    from rsbench.report.export_tables import TABLE_SUFFIXES, images_frame, table_bytes
    from rsbench.report.files import check_target
    from rsbench.store.store import Store

    suffix = check_target(to, TABLE_SUFFIXES, replace=force)
    with Store.open_existing(o.database(db)) as store:
        found = {run.fingerprint: run for run in map(store.run, runs)}
        for run in found.values():
            _check_sealed(run)
        frame = images_frame([(run, store.image_columns(run.id)) for run in found.values()])
    write_atomically(to, table_bytes(frame, suffix))
    say(f"{to}: {count_text(len(frame), 'image')} of {count_text(len(found), 'run')}")


@app.command()
def curves(
    to: _Table,
    dataset: o.Dataset = None,
    norm: _Norm = "l1",
    method: _Methods = None,
    sigma: _Sigmas = None,
    seed: _Seeds = None,
    exploratory: _Exploratory = False,
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Write the curves of certified accuracy over the radius, a line a step."""
    from rsbench.report.curves import curve_frame
    from rsbench.report.export_tables import TABLE_SUFFIXES, table_bytes
    from rsbench.report.files import check_target
    from rsbench.report.runs import open_report

    suffix = check_target(to, TABLE_SUFFIXES, replace=force)
    report = open_report(o.database(db), exploratory=exploratory)
    chosen = _to_be_drawn(_chosen(report, dataset, norm, method=method, sigma=sigma, seed=seed))
    frame = curve_frame(chosen, norm, report.step_curves(chosen))
    write_atomically(to, table_bytes(frame, suffix))
    say(f"{to}: {count_text(len(frame), 'step')} of {count_text(len(chosen), 'curve')}")


@app.command()
def figure(
    to: Annotated[Path, typer.Option("--to", help="The file to write: .svg, .pdf or .png.")],
    dataset: o.Dataset = None,
    norm: _Norm = "l1",
    method: _Methods = None,
    sigma: _Sigmas = None,
    seed: _Seeds = None,
    exploratory: _Exploratory = False,
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Draw the curves of certified accuracy over the radius for print, a panel for each choice of images."""
    from rsbench.report.curves import curve_frame
    from rsbench.report.figures import FIGURE_SUFFIXES, figure_bytes, print_figure
    from rsbench.report.files import check_target
    from rsbench.report.runs import open_report

    suffix = check_target(to, FIGURE_SUFFIXES, replace=force)
    report = open_report(o.database(db), exploratory=exploratory)
    chosen = _to_be_drawn(_chosen(report, dataset, norm, method=method, sigma=sigma, seed=seed))
    frame = curve_frame(chosen, norm, report.step_curves(chosen))
    write_atomically(to, figure_bytes(print_figure(frame), suffix))
    say(f"{to}: {count_text(len(chosen), 'curve')} in {count_text(frame['group'].nunique(), 'panel')}")


@app.command()
def board(
    to: Annotated[Path, typer.Option("--to", help="The file to write: .html, .tex, .csv or .parquet.")],
    dataset: o.Dataset = None,
    norm: _Norm = "l1",
    radius: Annotated[
        str, typer.Option(envvar="RSBENCH_RADIUS", help="Radii between commas, pixels in [0,1].")
    ] = DEFAULT_RADII,
    all_runs: Annotated[bool, typer.Option("--all", help="A row for every run, none selected.")] = False,
    exploratory: _Exploratory = False,
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Write the leaderboard: a page that needs nothing else, LaTeX tables, or a table of full precision."""
    from rsbench.report.board_files import html_file, latex_file
    from rsbench.report.export_tables import TABLE_SUFFIXES, table_bytes
    from rsbench.report.files import check_target
    from rsbench.report.leaderboard import leaderboard, leaderboard_frame
    from rsbench.report.runs import open_report

    suffix = check_target(to, (".html", ".tex", *TABLE_SUFFIXES), replace=force)
    radii = split_radii(radius)
    report = open_report(o.database(db), exploratory=exploratory)
    chosen = report.certified(_chosen(report, dataset, norm), radii)
    incomplete = sum(dataset in (None, run.dataset.name) for run in report.incomplete)
    made = leaderboard(chosen, norm=norm, radii=radii, incomplete=incomplete, select_best=not all_runs)
    if suffix == ".html":
        content = html_file(made, chosen, report)
    elif suffix == ".tex":
        content = latex_file(made, report)
    else:
        content = table_bytes(leaderboard_frame(made), suffix)
    write_atomically(to, content)
    say(f"{to}: {count_text(sum(len(group.rows) for group in made.groups), 'row')}")


@app.command()
def reported(
    to: _Table,
    dataset: Annotated[str | None, typer.Option(help="Only figures on this data set.")] = None,
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Write the figures of papers that were imported, a line each, as printed."""
    from rsbench.report.export_tables import TABLE_SUFFIXES, table_bytes
    from rsbench.report.files import check_target
    from rsbench.report.reported import figures_frame
    from rsbench.store.store import Store

    suffix = check_target(to, TABLE_SUFFIXES, replace=force)
    with Store.open_existing(o.database(db)) as store:
        figures = store.reported(dataset)
    if not figures:
        on = f" on {dataset!r}" if dataset else ""
        raise UsageError(f"no reported figure{on} in this database: run rsbench import reported first")
    write_atomically(to, table_bytes(figures_frame(figures), suffix))
    say(f"{to}: {count_text(len(figures), 'figure')}")


@app.command()
def tsv(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The start of a run's fingerprint.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write, with whatever suffix.")],
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Write a sealed run as `idx label predict radius correct time` between tabs, radii rounded down."""
    from rsbench.report.files import check_free
    from rsbench.report.tsv import tsv_text
    from rsbench.store.store import Store

    check_free(to, replace=force)
    with Store.open_existing(o.database(db)) as store:
        record = store.run(run)
        _check_sealed(record)
        columns = store.image_columns(record.id)
    write_atomically(to, tsv_text(record, columns).encode())
    say(f"{to}: {count_text(len(columns), 'image')}")


def _check_sealed(run: "RunRecord") -> None:
    if run.curve is None:
        raise UsageError(f"run {run.fingerprint[:12]} is not sealed: the command that began it finishes it")


def _to_be_drawn(runs: "Sequence[RunRecord]") -> "Sequence[RunRecord]":
    """The runs that may be ranked. Raises UsageError, with what was said of them, when there is none."""
    from rsbench.report.annotations import ranked, withheld_lines

    if not (drawn := ranked(runs)):
        raise UsageError(f"no curve to draw: {withheld_lines(runs)[0]}")
    return drawn


def _chosen(
    report: "Report",
    dataset: str | None,
    norm: str,
    *,
    method: str | None = None,
    sigma: str | None = None,
    seed: str | None = None,
) -> "Sequence[RunRecord]":
    """The sealed runs that match the filters and hold in the norm. Raises UsageError when there is none."""
    from rsbench.report.configuration import certificate_of
    from rsbench.report.leaderboard import NORMS
    from rsbench.report.runs import select_runs

    o.choice("--norm", norm, NORMS)
    methods = o.names(method or "")
    for name in methods:
        if name not in report.methods:
            raise UsageError(f"--method {name}: there are runs of {', '.join(report.methods) or 'no method yet'}")
    if dataset is not None and dataset not in report.datasets:
        known = ", ".join(report.datasets) or "no data set yet"
        raise UsageError(f"no sealed run on {dataset!r}: there are runs on {known}")
    matching = select_runs(
        report.sealed,
        dataset=dataset,
        methods=methods,
        sigmas=() if sigma is None else o.sigmas(sigma),
        seeds=() if seed is None else o.seeds(seed),
    )
    chosen = [run for run in matching if norm in certificate_of(run).norms]
    if not chosen:
        raise UsageError(f"no sealed run with a certificate for {norm} matches: see rsbench leaderboard --all")
    return chosen
