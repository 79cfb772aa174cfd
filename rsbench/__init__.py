"""rsbench: train, certify and compare randomized smoothing classifiers.

The Python API is in docs/reference/python-api.md. Its names are imported when they are first used, so that
`import rsbench` takes no time.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rsbench import certificates as certificates
    from rsbench.api.certify import certify as certify
    from rsbench.api.datasets import load_dataset as load_dataset
    from rsbench.api.result import Certification as Certification
    from rsbench.api.store import ResultStore as ResultStore
    from rsbench.api.store import open_store as open_store
    from rsbench.errors import CheckpointError as CheckpointError
    from rsbench.errors import DataError as DataError
    from rsbench.errors import IncompleteError as IncompleteError
    from rsbench.errors import RsbenchError as RsbenchError
    from rsbench.errors import StoreError as StoreError
    from rsbench.errors import UsageError as UsageError
    from rsbench.measures import deterministic_splitting as deterministic_splitting
    from rsbench.measures import gaussian as gaussian
    from rsbench.measures import splitting as splitting
    from rsbench.measures import uniform as uniform
    from rsbench.specs import MeasureSpec as MeasureSpec

    __version__: str

# The module in which each name is defined.
_MODULES = {
    "Certification": "rsbench.api.result",
    "CheckpointError": "rsbench.errors",
    "DataError": "rsbench.errors",
    "IncompleteError": "rsbench.errors",
    "MeasureSpec": "rsbench.specs",
    "ResultStore": "rsbench.api.store",
    "RsbenchError": "rsbench.errors",
    "StoreError": "rsbench.errors",
    "UsageError": "rsbench.errors",
    "certificates": "rsbench.certificates",
    "certify": "rsbench.api.certify",
    "deterministic_splitting": "rsbench.measures",
    "gaussian": "rsbench.measures",
    "load_dataset": "rsbench.api.datasets",
    "open_store": "rsbench.api.store",
    "splitting": "rsbench.measures",
    "uniform": "rsbench.measures",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "__version__":
        value: Any = import_module("rsbench.version").installed_version()
    elif name in _MODULES:
        module = import_module(_MODULES[name])
        value = module if module.__name__ == f"rsbench.{name}" else getattr(module, name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
