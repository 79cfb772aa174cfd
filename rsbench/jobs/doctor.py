"""What works on this machine, and what to do about what does not."""

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rsbench.cluster.session import cluster_resources
from rsbench.data.registry import DATASETS, load_dataset
from rsbench.errors import RsbenchError
from rsbench.models.device import default_device, describe_device
from rsbench.store.filesystem import network_type, usable_location
from rsbench.store.location import location_name
from rsbench.store.store import Store
from rsbench.version import installed_version


@dataclass(frozen=True)
class Finding:
    """One line: `works` is None for something that is only absent and needed by nobody yet."""

    subject: str
    works: bool | None
    told: str


def examine(location: str, data_root: Path | None) -> Iterator[Finding]:
    """Look at versions, device, Ray (which is started), database and data sets."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "ray", "sqlalchemy", "streamlit"))
    yield Finding("versions", True, f"rsbench {installed_version()}, python {platform.python_version()}, {packages}")
    device = default_device()
    yield Finding("device", True, f"{device}: {describe_device(device)}")
    yield _ray()
    yield examine_database(location)
    for name in DATASETS:
        yield _dataset(name, data_root)


def _ray() -> Finding:
    try:
        resources = cluster_resources()
    except RsbenchError as error:
        return Finding("ray", False, str(error))
    return Finding("ray", True, ", ".join(f"{amount:g} {name}" for name, amount in sorted(resources.items())))


def examine_database(location: str) -> Finding:
    """Whether the database can be used, and what is in it."""
    try:
        file = usable_location(location).file
        with Store.open_existing(location) as store:
            sealed, incomplete = len(store.sealed_runs()), len(store.incomplete_runs())
    except RsbenchError as error:
        return Finding("database", None if error.exit_code == 2 else False, str(error))
    told = f"{location_name(location)}: {sealed} sealed runs, {incomplete} incomplete"
    kind = None if file is None else network_type(file)
    if kind is not None:
        told += f"; on a network file system ({kind}), where no second machine may open it"
    return Finding("database", True, told)


def _dataset(name: str, data_root: Path | None) -> Finding:
    try:
        info = load_dataset(name, data_root).info
    except RsbenchError as error:
        return Finding(name, None, str(error))
    return Finding(name, True, f"{info.images:,} images to certify, fingerprint {info.fingerprint[:12]}")
