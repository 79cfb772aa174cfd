"""Which files are meant, and what their paths say."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from rsbench.errors import UsageError

# sigma_ is the noise that was certified with, noise_ the one that was trained with: where both stand, sigma_ counts.
_SIGMA = tuple(re.compile(rf"{word}_([0-9]+(?:\.[0-9]+)?)(?:\.[a-z]+)?") for word in ("sigma", "noise"))


def files_below(paths: Iterable[Path], suffix: str = "") -> tuple[Path, ...]:
    """Every file that is named, and those with the suffix below every folder that is: in order, each once.

    Hidden files and folders are left out. Raises UsageError when a path does not exist, OSError when a folder cannot
    be read.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        for file in [path] if not path.is_dir() else _walk(path, suffix):
            found.setdefault(file.resolve(), file)
    return tuple(found.values())


def name_below(paths: Iterable[Path], file: Path) -> str:
    """A file's name for people: below the folder that was named, whose own name leads, or its last part.

    What lies above is of one machine, and none of a reader's business.
    """
    for path in paths:
        if path.is_dir() and file.is_relative_to(path):
            return str(Path(path.resolve().name) / file.relative_to(path))
    return file.name


def sigma_of_path(file: Path) -> float | None:
    """σ from the last part of the path like sigma_0.25 (or sigma_0.25.tsv), else from the last like noise_0.25."""
    for pattern in _SIGMA:
        for part in reversed(file.parts):
            if match := pattern.fullmatch(part):
                return float(match[1])
    return None


def _walk(folder: Path, suffix: str) -> list[Path]:
    files = []
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".") and name.endswith(suffix)]
    return sorted(files)


def _refuse(error: OSError) -> None:
    raise error
