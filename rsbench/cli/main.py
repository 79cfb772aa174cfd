"""The program: its commands, and the one line and exit code that every failure ends in."""

import errno
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

from rsbench.errors import RsbenchError
from rsbench.plugins import load_plugins, request_plugins

_INTERRUPTED = 130

# What to give, by the beginning of the name of pydantic's complaint.
_EXPECTED = {"int": "give a whole number", "float": "give a number", "bool": "give true or false"}

_COMMANDS = (
    "sweep", "certify", "verify", "radius", "leaderboard", "compare", "recertify", "annotate", "show", "export",
    "import", "bench", "dashboard", "doctor", "db",
)  # fmt: skip
# `import` is no name for a module.
_MODULES = {"import": "imports"}


def application(names: Iterable[str] = _COMMANDS) -> typer.Typer:
    """The program with some of its commands: each is a module of its name, with a function or a group of commands."""
    app = typer.Typer(
        name="rsbench",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_program)
    for name in names:
        module = import_module(f"rsbench.cli.{_MODULES.get(name, name)}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def _program(
    plugin: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE", help="Import a plugin first, in every process; repeatable. See CONTRIBUTING."),
    ] = None,
) -> None:
    """Train, certify and compare randomized smoothing classifiers."""
    request_plugins(plugin or ())
    load_plugins()


def main() -> None:
    """Run a command. 0 done; 2 bad input; 1 the machine's fault; 3 incomplete; 130 interrupted."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    # Only the command that runs is imported: a calculator starts in half a second.
    command = _command_name(arguments)
    try:
        code = application([command] if command in _COMMANDS else _COMMANDS)(arguments, standalone_mode=False)
        sys.stdout.flush()
    except RsbenchError as error:
        return _fail(str(error), error.exit_code)
    except typer.BadParameter as error:
        return _fail(_parameter_complaint(error), error.exit_code)
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
    except ValueError as error:
        return _fail(_specification_complaint(error), 2)
    # Typer turns Ctrl-C into this code.
    if code == _INTERRUPTED:
        return _fail("interrupted: what is finished is kept, and the same command resumes", _INTERRUPTED)
    return code if isinstance(code, int) else 0


def _command_name(arguments: list[str]) -> str | None:
    """The first argument that is neither an option of the program nor the value of one."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--plugin":
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _parameter_complaint(error: typer.BadParameter) -> str:
    """Which value is of the wrong type, and where it comes from."""
    from pydantic import ValidationError

    cause, parameter, context = error.__cause__, error.param, error.ctx
    if not isinstance(cause, ValidationError) or parameter is None or context is None:
        return f"{error.format_message().rstrip('.')}: see --help"
    first = cause.errors()[0]
    source = context.get_parameter_source(parameter.name)
    given = f"{parameter.opts[0]} {first['input']}"
    if source is not None and source.name == "ENVIRONMENT":
        given = f"{parameter.envvar}={first['input']}"
    elif source is not None and source.name == "DEFAULT_MAP":
        given = f"{context.params.get('config')}: {parameter.name} = {first['input']!r}"
    expected = next((text for kind, text in _EXPECTED.items() if first["type"].startswith(kind)), "see --help")
    return f"{given} is not valid: {expected}"


def _specification_complaint(error: ValueError) -> str:
    """What a specification refused. Any other ValueError is a bug of ours, and keeps its traceback."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        raise error
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}, got {first['input']!r}"


def _fail(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"rsbench: {line}", file=sys.stderr)
    return code
