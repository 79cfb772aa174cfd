"""Fixtures and settings that every test shares."""

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.fixtures.databases",
    "tests.fixtures.foreign_filesystem",
    "tests.fixtures.commands",
    "tests.fixtures.photographs",
    "tests.fixtures.plugins",
    "tests.fixtures.ray_nodes",
    "tests.fixtures.trained",
]

# The same examples on every run and every machine; a slow machine is no failure.
settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

_SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets that lies beside the repository on a developer's machine."""
    if not _SHARED_DATA.is_dir():
        pytest.skip(f"no real data at {_SHARED_DATA}")
    return _SHARED_DATA
