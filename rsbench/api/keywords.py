"""Keyword arguments that stand for options of the command line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

from rsbench.errors import RsbenchError, UsageError
from rsbench.specs import PROCEDURES, Procedure

# Options of the command line that have another name here.
_KEYWORDS = {
    "checkpoint": "network",
    "images": "subset",
    "db": "store",
    "force": "force=True",
    "plugin": "RSBENCH_PLUGINS",
}


@contextmanager
def keyword_errors() -> Iterator[None]:
    """Let the messages of what the commands share with this API name keyword arguments instead of options."""
    try:
        yield
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise UsageError(f"{name}: {first['msg']}, got {first['input']!r}") from error
    except RsbenchError as error:
        text = re.sub(r"(?<![\w./-])--([a-z0-9][a-z0-9-]*)", _keyword, str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error


def _keyword(option: re.Match[str]) -> str:
    return _KEYWORDS.get(option[1], option[1].replace("-", "_"))


def checked_bounds(bounds: str | None) -> Procedure | None:
    """Return the procedure. Raises UsageError when it is unknown."""
    if bounds is None:
        return None
    for procedure in PROCEDURES:
        if procedure == bounds:
            return procedure
    raise UsageError(f"bounds {bounds!r}: choose from {', '.join(PROCEDURES)}")
