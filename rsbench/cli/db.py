"""`rsbench db`: check, upgrade or describe the database."""

from dataclasses import asdict
from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, say
from rsbench.cli.progress import ProgressLine
from rsbench.errors import MismatchError
from rsbench.report.numbers import count_text

app = typer.Typer(help="Check, upgrade or describe the database.", no_args_is_help=True)


@app.command()
def current(db: o.Database = None, json: o.Json = False) -> None:
    """Print the database's revision and the one that this rsbench needs."""
    from rsbench.store.location import location_name
    from rsbench.store.revisions import database_revision, head_revision

    location = o.database(db)
    revision, needed = database_revision(location), head_revision()
    name = location_name(location)
    if json:
        print_json({"database": name, "revision": revision, "needed": needed})
    else:
        print(f"{name}: revision {revision}, this rsbench needs {needed}")


@app.command()
def upgrade(db: o.Database = None) -> None:
    """Create the database, or bring it to the revision that this rsbench needs."""
    from rsbench.store.location import location_name
    from rsbench.store.revisions import upgrade_database

    location = o.database(db)
    result = upgrade_database(location)
    word = "already" if result.before == result.after else "now"
    print(f"{location_name(location)}: {word} at revision {result.after}")
    if result.backup is not None:
        print(f"{result.backup}: the database as it was at revision {result.before}")


@app.command()
def check(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN...", help="The starts of runs' fingerprints.", show_default="all runs"),
    ] = None,
    db: o.Database = None,
    json: o.Json = False,
) -> None:
    """Compare sealed runs with their seals and curves.

    Rows that refer to missing rows are reported too. The exit code is 4 if anything is wrong.
    """
    from rsbench.store.store import Store

    progress = ProgressLine()
    with Store.open_existing(o.database(db)) as store:
        chosen = [store.run(name).fingerprint for name in runs or ()]
        sealed = len(chosen) or len({run.id for run in store.sealed_runs(exploratory=True)})
        progress.begin("checking", sealed, "runs")
        try:
            findings = list(store.check(chosen, on_checked=lambda fingerprint: progress.advance(1, fingerprint[:12])))
        finally:
            progress.end()
    if json:
        print_json({"runs": sealed, "findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            print(f"run {finding.run[:12]}: {finding.message}" if finding.run else finding.message)
    if findings:
        raise MismatchError(
            f"{count_text(len(findings), 'finding')}: sealed runs never change, so restore a copy of the database, or "
            "mark runs as invalid with rsbench annotate"
        )
    say(f"{count_text(sealed, 'sealed run')}: all seals, curves and references are correct")
