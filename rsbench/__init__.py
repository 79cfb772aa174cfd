"""rsbench: train, certify and compare randomized smoothing classifiers."""

from typing import Any


def __getattr__(name: str) -> Any:
    """`__version__`, looked up when it is asked for: the lookup takes longer than a calculator's answer."""
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("rsbench")
