"""The migrations are the only truth of the schema: one head, up and down, and the models equal to what they make."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Connection, inspect, text

from rsbench.store import engine as store_engine
from rsbench.store.location import parse_location
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, write_run

__all__ = [
    "test_model_definitions_match_ddl",
    "test_single_head_revision",
    "test_up_down_consistency",
    "test_upgrade",
]


@pytest.fixture
def alembic_config() -> Config:
    return store_engine.alembic_config()


@pytest.fixture
def alembic_engine(database: str) -> Iterator[Connection]:
    engine = store_engine.create_store_engine(parse_location(database))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_a_new_store_is_at_the_head(database: str) -> None:
    with Store.create_or_open(database) as store, store.engine.connect() as connection:
        assert store_engine.current_revision(connection) == store_engine.head_revision()


def test_upgrading_a_store_with_data_keeps_it(database: str) -> None:
    with Store.create_or_open(database) as store:
        spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50)
        store_engine.upgrade(store.engine)
        assert store.run(spec.fingerprint()).curve is not None


def test_image_tables_are_clustered_and_carry_no_further_index(tmp_path: Path) -> None:
    with Store.create_or_open(str(tmp_path / "results.db")) as store, store.engine.connect() as connection:
        for table in ("image_result", "curve_block"):
            assert inspect(connection).get_indexes(table) == []
            made = connection.scalar(text("SELECT sql FROM sqlite_master WHERE name = :name"), {"name": table})
            assert str(made).rstrip().endswith("WITHOUT ROWID")
