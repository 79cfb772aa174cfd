"""The program: its commands, and the one line and exit code that every failure ends in."""

import errno
import os
import sys

import typer
from pydantic import ValidationError

from rsbench.cli import certify, dashboard, db, doctor, leaderboard, show, sweep
from rsbench.errors import RsbenchError

_INTERRUPTED = 130

app = typer.Typer(
    name="rsbench",
    help="Train, certify and compare randomized smoothing classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("sweep")(sweep.sweep)
app.command("certify")(certify.certify)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("show")(show.show)
app.command("dashboard")(dashboard.dashboard)
app.command("doctor")(doctor.doctor)
app.add_typer(db.app, name="db")


def main() -> None:
    """Run a command. 0 done; 2 bad input; 1 the machine's fault; 3 incomplete; 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    try:
        code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except RsbenchError as error:
        return _fail(str(error), error.exit_code)
    except ValidationError as error:
        first = error.errors()[0]
        return _fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}", 2)
    except typer.TyperException as error:
        return _fail(f"{error.format_message().rstrip('.')}: see --help", error.exit_code)
    except typer.Abort:
        return _fail("a file or an input ended too early: see rsbench doctor", 1)
    except BrokenPipeError:
        # The reader of our output, such as head, has all it wanted; nothing is left to flush at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        advice = "free some space, then run the same command again" if error.errno == errno.ENOSPC else "check the path"
        return _fail(f"{error.filename or 'the disk'}: {error.strerror}: {advice}", 1)
    # Typer turns Ctrl-C into this code.
    if code == _INTERRUPTED:
        return _fail("interrupted: what is finished is kept, and the same command resumes", _INTERRUPTED)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"rsbench: {line}", file=sys.stderr)
    return code
