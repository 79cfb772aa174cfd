"""`rsbench recertify`: another certificate, n or α from the stored votes."""

from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich, say
from rsbench.errors import UsageError
from rsbench.report.numbers import DEFAULT_RADII, count_text, split_radii
from rsbench.specs import PROCEDURES
from rsbench.theory.catalogue import CERTIFICATES

if TYPE_CHECKING:
    from rsbench.jobs.recertify import CurveChoices


def recertify(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="The starts of runs' fingerprints; without them, every sealed run."),
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_CERTIFICATE", help="Certificates between commas (default: each run's own)."),
    ] = None,
    n: Annotated[
        str | None,
        typer.Option("--n", envvar="RSBENCH_N", help="Prefixes of n between commas, or all (default: each run's n)."),
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_ALPHA", help="Failure probabilities between commas (default: each run's own)."),
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_BOUNDS", help=f"{' or '.join(PROCEDURES)} (default: each run's own)."),
    ] = None,
    declared: Annotated[
        str | None,
        typer.Option(
            help="Where these choices were fixed before the votes, such as the name of a protocol. The board marks "
            "these curves as stated afterwards."
        ),
    ] = None,
    dataset: o.Dataset = None,
    method: Annotated[
        str | None, typer.Option(envvar="RSBENCH_METHOD", help="Without RUN: only runs of these methods.")
    ] = None,
    radius: Annotated[
        str, typer.Option(envvar="RSBENCH_RADIUS", help="Radii to print, between commas, pixels in [0,1].")
    ] = DEFAULT_RADII,
    data_root: o.DataRoot = None,
    db: o.Database = None,
    json: o.Json = False,
) -> None:
    """Compute curves of runs under other certificates, n or alpha.

    They are computed from the stored votes, without drawing noise, and stored beside the runs' own curves. A curve with
    another n, alpha or --bounds than the run declared is exploratory.
    """
    radii = split_radii(radius)
    choices = _choices(certificate, n, alpha, bounds)
    if declared is not None and not declared.strip():
        raise UsageError("--declared is empty: say where these choices were fixed, such as the name of a protocol")
    if runs and (dataset or method):
        raise UsageError("RUN and --dataset or --method exclude each other: name runs, or select them")

    from rsbench.jobs.recertify import plan_all_curves, plan_curves, recertify_runs
    from rsbench.report.recertified import recertified_json, recertified_table
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        if runs:
            planned = [curve for name in runs for curve in plan_curves(store, store.run(name), choices)]
        else:
            methods = o.names(method or "")
            planned = plan_all_curves(
                store, choices, dataset=dataset, methods=methods, report=lambda reason: say(f"skipped: {reason}")
            )
        curves = list(recertify_runs(store, planned, statement=declared, data_root=data_root))
    results = [curve.result for curve in curves]
    if json:
        print_json({"curves": [recertified_json(result, radii) for result in results]})
    elif results:
        print_rich(recertified_table(results, radii))
    for result in results:
        if declared is not None and result.curve.standing != "declared" and result.statement != declared:
            say(
                f"run {result.run.fingerprint[:12]}: --declared changes nothing, because this curve was stored "
                f"before as {result.curve.standing}"
            )
    new = sum(curve.is_new for curve in curves)
    say(
        f"{count_text(new, 'curve')} stored, {len(curves) - new:,} already in the store; "
        "see rsbench leaderboard --exploratory"
    )


def _choices(certificate: str | None, n: str | None, alpha: str | None, bounds: str | None) -> "CurveChoices":
    if not any((certificate, n, alpha, bounds)):
        raise UsageError(
            "nothing to recompute, because these are the runs' own settings: give a different --certificate, --n, "
            "--alpha or --bounds"
        )
    certificates = o.names(certificate or "")
    for name in certificates:
        CERTIFICATES.lookup(name)
    sizes = tuple(map(_size, () if n == "all" else o.names(n or "")))
    alphas = tuple(map(_failure_probability, o.names(alpha or "")))
    procedure = o.choice("--bounds", bounds, PROCEDURES) if bounds else None

    from rsbench.jobs.recertify import CurveChoices

    return CurveChoices(certificates, "all" if n == "all" else sizes, alphas, procedure)


def _size(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise UsageError(f"--n {word}: give whole numbers between commas, such as 1000,10000, or all")
    return int(word)


def _failure_probability(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise UsageError(f"--alpha {word}: give numbers between 0 and 1, such as 0.001")
    return value
