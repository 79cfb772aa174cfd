"""`rsbench annotate`: mark a sealed run as invalid, superseded or reproduced."""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import say
from rsbench.errors import UsageError

if TYPE_CHECKING:
    from rsbench.records import AnnotationKind


def annotate(
    run: Annotated[str, typer.Argument(help="The start of a run's fingerprint, at least 4 digits.")],
    why: Annotated[str, typer.Option("--why", help="The reason, for readers of the board.")],
    invalid: Annotated[bool, typer.Option("--invalid", help="Its numbers are wrong.")] = False,
    superseded_by: Annotated[
        str | None, typer.Option(metavar="RUN", help="Another run on the same images replaces it.")
    ] = None,
    reproduced_by: Annotated[
        str | None, typer.Option(metavar="RUN", help="Another run has the same votes, which is checked.")
    ] = None,
    author: Annotated[
        str | None, typer.Option(envvar="RSBENCH_AUTHOR", help="Who marks it (default: the login name).")
    ] = None,
    db: o.Database = None,
) -> None:
    """Mark a sealed run as invalid, superseded or reproduced. The board follows the mark; the run does not change."""
    if [invalid, superseded_by is not None, reproduced_by is not None].count(True) != 1:
        raise UsageError("give exactly one of --invalid, --superseded-by RUN and --reproduced-by RUN")
    reason = _line("--why", why)
    author = _line("--author", author if author is not None else getpass.getuser())
    kind: AnnotationKind = "invalid" if invalid else "superseded" if superseded_by is not None else "reproduced"

    from rsbench.jobs.annotate import annotate as annotate_run
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        record, name = store.run(run), superseded_by or reproduced_by
        annotate_run(store, record, kind, None if name is None else store.run(name), reason=reason, author=author)
    say(f"run {record.fingerprint[:12]} is {kind}; see rsbench show {record.fingerprint[:12]}")


def _line(flag: str, text: str) -> str:
    line = " ".join(text.split())
    if not line:
        raise UsageError(f"{flag} is empty: give one line of text")
    return line
