"""What works on this machine, and how to repair the rest."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rsbench.data.registry import DATASETS, load_dataset
from rsbench.errors import NoStoreError, RsbenchError
from rsbench.store.location import location_name, network_filesystem_type, usable_location
from rsbench.version import installed_version


@dataclass(frozen=True)
class Finding:
    """The state of one thing that rsbench uses."""

    subject: str
    works: bool | None
    """None if it cannot be used, and nothing needs it yet."""

    message: str
    """What it is, or what is wrong and how to repair it."""


def examine(location: str, data_root: Path | None) -> Iterator[Finding]:
    """Examine versions, database, datasets, device and Ray, in this order. Ray is started for it."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "ray", "sqlalchemy", "streamlit"))
    yield Finding("versions", True, f"rsbench {installed_version()}, python {platform.python_version()}, {packages}")
    yield examine_database(location)
    for name in DATASETS:
        yield _dataset(name, data_root)
    # PyTorch and Ray take seconds to import, so they come last.
    yield _device()
    yield _ray()


def examine_database(location: str) -> Finding:
    """Whether the database can be used, and how many runs it holds."""
    from rsbench.store.store import Store

    try:
        file = usable_location(location).file
        with Store.open_existing(location) as store:
            # A run is returned once for each of its curves.
            sealed = len({run.id for run in store.sealed_runs(exploratory=True)})
            incomplete = len(store.incomplete_runs())
    except NoStoreError as error:
        return Finding("database", None, str(error))
    except RsbenchError as error:
        return Finding("database", False, str(error))
    message = f"{location_name(location)}: {sealed} sealed runs, {incomplete} incomplete"
    kind = None if file is None else network_filesystem_type(file)
    if kind is not None:
        message += f"; on a network file system ({kind}), where no second machine may open it"
    return Finding("database", True, message)


def _dataset(name: str, data_root: Path | None) -> Finding:
    try:
        info = load_dataset(name, data_root).info
    except RsbenchError as error:
        # Missing or damaged: either way a command that needs the dataset says so.
        return Finding(name, None, str(error))
    return Finding(name, True, f"{info.images:,} images to certify, fingerprint {info.fingerprint[:12]}")


def _device() -> Finding:
    from rsbench.models.device import default_device, describe_device

    name = default_device()
    return Finding("device", True, f"{name}: {describe_device(name)}")


def _ray() -> Finding:
    from rsbench.cluster.session import cluster_resources

    try:
        resources = cluster_resources()
    except RsbenchError as error:
        return Finding("ray", False, str(error))
    return Finding("ray", True, ", ".join(f"{amount:g} {name}" for name, amount in sorted(resources.items())))
