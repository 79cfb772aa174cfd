"""Checks of the files that `rsbench export` writes: the suffix gives the format, and no file is replaced unasked."""

from collections.abc import Sequence
from pathlib import Path

from rsbench.errors import UsageError


def check_target(target: Path, suffixes: Sequence[str], *, replace: bool) -> str:
    """The suffix of a file that is to be written, in lower case.

    Raises UsageError when it is none of `suffixes`, when the folder is missing, or when the file is there already and
    may not be replaced.
    """
    suffix = target.suffix.lower()
    if suffix not in suffixes:
        told = f"the suffix {target.suffix!r}" if target.suffix else "no suffix"
        raise UsageError(f"--to {target}: {told} tells no format: choose {' or '.join(suffixes)}")
    check_free(target, replace=replace)
    return suffix


def check_free(target: Path, *, replace: bool) -> None:
    """Raises UsageError when the folder is missing, or the file is there already and may not be replaced."""
    if not target.parent.is_dir():
        raise UsageError(f"--to {target}: there is no folder {target.parent}: make it first")
    if target.is_dir():
        raise UsageError(f"--to {target}: this is a folder: name a file in it")
    if target.exists() and not replace:
        raise UsageError(f"--to {target}: this file exists: name another, or replace it with --force")
