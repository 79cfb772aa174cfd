"""The files of an import: find them, name them for the reader, and read σ from their paths."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from rsbench.errors import UsageError

# Released results name folders by σ: sigma_ is that of certification and has priority, noise_ that of training.
_SIGMA_PATTERNS = tuple(re.compile(rf"{word}_([0-9]+(?:\.[0-9]+)?)(?:\.[a-z]+)?") for word in ("sigma", "noise"))


def files_below(paths: Iterable[Path], suffix: str = "") -> tuple[Path, ...]:
    """Return the given files, and all files with the suffix below the given folders, in order and without duplicates.

    Hidden files and folders are skipped unless they are given themselves. Raises UsageError when a path does not exist,
    and OSError when a folder cannot be read.
    """
    file_by_real_path: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder")
        for file in [path] if not path.is_dir() else _walk(path, suffix):
            file_by_real_path.setdefault(file.resolve(), file)
    return tuple(file_by_real_path.values())


def display_name(paths: Iterable[Path], file: Path) -> str:
    """Return a file's path from the given folder that contains it on, or just its name if no folder does.

    Folders further up are left out: they describe one machine, and the name is stored with the results.
    """
    for path in paths:
        if path.is_dir() and file.is_relative_to(path):
            return str(Path(path.resolve().name) / file.relative_to(path))
    return file.name


def sigma_of_path(file: Path) -> float | None:
    """Return the σ that a path states, or None.

    It is that of the last part like sigma_0.25 or sigma_0.25.tsv, or else of the last part like noise_0.25.
    """
    for pattern in _SIGMA_PATTERNS:
        for part in reversed(file.parts):
            if match := pattern.fullmatch(part):
                return float(match[1])
    return None


def _walk(folder: Path, suffix: str) -> list[Path]:
    files = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [Path(parent, name) for name in names if not name.startswith(".") and name.endswith(suffix)]
    return sorted(files)


def _raise(error: OSError) -> None:
    # os.walk skips folders that it cannot read unless its callback raises.
    raise error
