"""Folders that stand beside the package in the source tree and inside it in a wheel."""

from pathlib import Path

_PACKAGE = Path(__file__).parent


def bundled(name: str) -> Path:
    """The folder `migrations` or `dashboards`, whichever way rsbench was installed."""
    inside = _PACKAGE / "_bundled" / name
    return inside if inside.is_dir() else _PACKAGE.parent / name
