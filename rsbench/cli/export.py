"""`rsbench export`: results as files for other programs, for papers and for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.atomic_files import write_atomically
from rsbench.cli import options as o
from rsbench.cli.output import say
from rsbench.errors import UsageError
from rsbench.records import NORMS
from rsbench.report.numbers import DEFAULT_RADII, split_radii

if TYPE_CHECKING:
    from rsbench.report.exports import ExportedFile
    from rsbench.report.runs import RunFilters

app = typer.Typer(
    help="Write results to files: tables, figures, LaTeX, web pages.",
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
    """Write a row for every image of some sealed runs: label, predicted class, radius."""
    from rsbench.report.exports import TABLE_SUFFIXES, check_target, images_file
    from rsbench.store.store import Store

    suffix = check_target(to, TABLE_SUFFIXES, replace=force)
    with Store.open_existing(o.database(db)) as store:
        records = {run.fingerprint: run for run in map(store.run, runs)}.values()
        file = images_file([(run, store.image_columns(run.id)) for run in records], suffix)
    _write(to, file)


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
    """Write the curves of certified accuracy over the radius, a row for each step."""
    filters = _filters(norm, method, sigma, seed)

    from rsbench.report.exports import TABLE_SUFFIXES, check_target, curves_file
    from rsbench.report.runs import open_report

    suffix = check_target(to, TABLE_SUFFIXES, replace=force)
    report = open_report(o.database(db), dataset=dataset, exploratory=exploratory)
    _write(to, curves_file(report, suffix, filters))


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
    filters = _filters(norm, method, sigma, seed)

    from rsbench.report.exports import FIGURE_SUFFIXES, check_target, figure_file
    from rsbench.report.runs import open_report

    suffix = check_target(to, FIGURE_SUFFIXES, replace=force)
    report = open_report(o.database(db), dataset=dataset, exploratory=exploratory)
    _write(to, figure_file(report, suffix, filters))


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
    """Write the leaderboard: a page that needs no other file, LaTeX tables, or a table in full precision."""
    filters, radii = _filters(norm), split_radii(radius)

    from rsbench.report.exports import BOARD_SUFFIXES, board_file, check_target
    from rsbench.report.runs import open_report

    suffix = check_target(to, BOARD_SUFFIXES, replace=force)
    report = open_report(o.database(db), dataset=dataset, exploratory=exploratory)
    _write(to, board_file(report, suffix, filters, radii, select_best=not all_runs))


@app.command()
def reported(
    to: _Table,
    dataset: Annotated[str | None, typer.Option(help="Only figures on this dataset.")] = None,
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Write the figures of papers that were imported, a row each, as printed."""
    from rsbench.report.exports import TABLE_SUFFIXES, check_target, reported_file
    from rsbench.store.store import Store

    suffix = check_target(to, TABLE_SUFFIXES, replace=force)
    with Store.open_existing(o.database(db)) as store:
        figures = store.reported(dataset)
    if not figures:
        on = f" on {dataset!r}" if dataset else ""
        raise UsageError(f"no reported figure{on} in this database: run rsbench import reported first")
    _write(to, reported_file(figures, suffix))


@app.command()
def tsv(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The start of a run's fingerprint.")],
    to: Annotated[Path, typer.Option("--to", help="The file to write, with any suffix.")],
    force: _Force = False,
    db: o.Database = None,
) -> None:
    """Write a sealed run as `idx label predict radius correct time` between tabs, radii rounded down."""
    from rsbench.report.exports import check_free, tsv_file
    from rsbench.store.store import Store

    check_free(to, replace=force)
    with Store.open_existing(o.database(db)) as store:
        record = store.run(run)
        file = tsv_file(record, store.image_columns(record.id))
    _write(to, file)


def _filters(norm: str, method: str | None = None, sigma: str | None = None, seed: str | None = None) -> "RunFilters":
    """Return the filters that the options name. Raises UsageError when one is not valid."""
    from rsbench.report.runs import RunFilters

    return RunFilters(
        norm=o.choice("--norm", norm, NORMS),
        methods=o.names(method or ""),
        sigmas=() if sigma is None else o.sigmas(sigma),
        seeds=() if seed is None else o.seeds(seed),
    )


def _write(to: Path, file: "ExportedFile") -> None:
    write_atomically(to, file.content)
    say(f"{to}: {file.summary}")
