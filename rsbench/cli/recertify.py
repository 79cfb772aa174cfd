"""`rsbench recertify`: another certificate, n or α from the stored votes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich, say
from rsbench.errors import UsageError
from rsbench.report.numbers import DEFAULT_RADII, count_text, split_radii
from rsbench.specs import PROCEDURES, Procedure
from rsbench.theory.catalogue import CERTIFICATES

if TYPE_CHECKING:
    from rsbench.records import RunRecord
    from rsbench.report.recertification import Recertifiable
    from rsbench.store.store import Store
    from rsbench.theory.recertification import Question


def recertify(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="The starts of runs' fingerprints; none: all that can.")
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_CERTIFICATE", help="Theorems between commas (default: each run's own)."),
    ] = None,
    n: Annotated[
        str | None,
        typer.Option("--n", envvar="RSBENCH_N", help="Prefixes of n between commas, or all (default: its n)."),
    ] = None,
    alpha: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_ALPHA", help="Failure probabilities between commas (default: its own)."),
    ] = None,
    bounds: Annotated[
        str | None, typer.Option(envvar="RSBENCH_BOUNDS", help=f"{' or '.join(PROCEDURES)} (default: its own).")
    ] = None,
    declared: Annotated[
        str | None,
        typer.Option(help="Where these choices were fixed before a result was seen, such as the name of a protocol."),
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
    """Compute curves of sealed runs under other certificates, n or alpha, and keep them beside the runs' own.

    The votes are those of the run; nothing is drawn again. A curve at another n or alpha is exploratory unless
    --declared says where it was fixed.
    """
    radii = split_radii(radius)
    wanted = _wanted(certificate, n, alpha, bounds)
    if declared is not None and not declared.strip():
        raise UsageError("--declared is empty: say where these choices were fixed, such as the name of a protocol")
    if runs and (dataset or method):
        raise UsageError("name runs, or choose them by --dataset and --method, not both")

    from rsbench.jobs.recertify import recertify_runs
    from rsbench.report.recertification_text import recertified_json, recertified_table
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        if runs:
            asked = [pair for name in runs for pair in _questions(store, store.run(name), wanted)]
        else:
            asked = list(_possible(store, dataset, o.names(method or ""), wanted))
        done = list(recertify_runs(store, asked, statement=declared, data_root=data_root))
    if json:
        print_json({"curves": [recertified_json(one.run, one.curve, radii) for one in done]})
    elif done:
        print_rich(recertified_table([(one.run, one.curve) for one in done], radii))
    new = sum(one.new for one in done)
    say(f"{count_text(new, 'curve')} stored, {len(done) - new:,} there already; see rsbench leaderboard --exploratory")


@dataclass(frozen=True)
class _Wanted:
    """The options as lists; None stands for what a run declared itself, and no n for all its prefixes."""

    certificates: tuple[str | None, ...]
    sizes: tuple[int | None, ...]
    alphas: tuple[float | None, ...]
    procedure: Procedure | None


def _wanted(certificate: str | None, n: str | None, alpha: str | None, bounds: str | None) -> _Wanted:
    if not any((certificate, n, alpha, bounds)):
        raise UsageError("nothing else is asked for than the runs have: give --certificate, --n, --alpha or --bounds")
    for name in (known := o.names(certificate or "")):
        o.choice("--certificate", name, tuple(CERTIFICATES))
    sizes = () if n == "all" else tuple(_size(word) for word in o.names(n or "")) or (None,)
    alphas = tuple(_alpha(word) for word in o.names(alpha or "")) or (None,)
    return _Wanted(known or (None,), sizes, alphas, o.choice("--bounds", bounds, PROCEDURES) if bounds else None)


def _size(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise UsageError(f"--n {word}: give whole numbers between commas, such as 1000,10000, or all")
    return int(word)


def _alpha(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise UsageError(f"--alpha {word}: give numbers between 0 and 1, such as 0.001")
    return value


def _questions(store: "Store", run: "RunRecord", wanted: _Wanted) -> list[tuple["Recertifiable", "Question"]]:
    """Every combination that is wanted of a run. Raises UsageError when one cannot be had."""
    from rsbench.report.recertification import checked_question, recertifiable

    known = recertifiable(store, run)
    combinations = product(wanted.certificates, wanted.sizes or known.prefixes, wanted.alphas)
    questions = (
        checked_question(known, certificate=name, n=size, failure_probability=alpha, procedure=wanted.procedure)
        for name, size, alpha in combinations
    )
    return [(known, question) for question in dict.fromkeys(questions)]


def _possible(
    store: "Store", dataset: str | None, methods: tuple[str, ...], wanted: _Wanted
) -> Iterator[tuple["Recertifiable", "Question"]]:
    """What is wanted of every sealed run that can give it; the others are named."""
    runs = {run.id: run for run in store.sealed_runs(dataset) if not methods or run.method in methods}
    if not runs:
        raise UsageError("no sealed run matches: see rsbench leaderboard --all")
    for run in runs.values():
        try:
            yield from _questions(store, run, wanted)
        except UsageError as error:
            say(f"left out: {error}")
