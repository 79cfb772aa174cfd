"""The databases' query plans: the board reads no images, and a curve at a radius needs one block."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, PROVENANCE, counts_at, part_of, write_run


@dataclass(frozen=True)
class Access:
    """Access to a table in a query plan."""

    table: str
    key_condition: str
    """The condition by which rows are found through an index; empty if the whole table is scanned."""


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.create_or_open(database) as opened:
        for seed in range(3):
            write_run(opened, DIGITS, "ssn", 0.5, seed, images="0:445:1", count=445)
        write_run(opened, DIGITS, "ssn", 1.0, 0, images="0:445:1", count=445, sealed=False)
        yield opened


def accesses(store: Store, run_queries: Callable[[], object]) -> set[Access]:
    """Return all accesses in the plans of the SELECT statements that a function executes."""
    executed: list[tuple[str, Any]] = []

    def record_statement(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        executed.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", record_statement)
    try:
        run_queries()
    finally:
        event.remove(store.engine, "before_cursor_execute", record_statement)
    explain = _sqlite_plan if store.engine.dialect.name == "sqlite" else _postgresql_plan
    with store.engine.connect() as connection:
        found = {
            access
            for statement, parameters in executed
            if statement.lstrip().startswith(("SELECT", "WITH"))
            for access in explain(connection, statement, parameters)
        }
    assert found
    return found


def _sqlite_plan(connection: Connection, statement: str, parameters: Any) -> Iterator[Access]:
    for *_, line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        if line.startswith(("SCAN ", "SEARCH ")):
            condition = re.search(r"\((.*)\)", line) if line.startswith("SEARCH") else None
            yield Access(line.split()[1], condition.group(1) if condition else "")


def _postgresql_plan(connection: Connection, statement: str, parameters: Any) -> Iterator[Access]:
    # PostgreSQL scans tables as small as these ones, but would use the index of larger ones.
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    plans = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    nodes = [plan["Plan"] for plan in plans]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if "Relation Name" in node:
            yield Access(node["Relation Name"], node.get("Index Cond", node.get("Recheck Cond", "")))


def key_conditions(store: Store, table: str, run_queries: Callable[[], object]) -> list[str]:
    """Return the key condition of each access to a table by the SELECT statements that a function executes."""
    return [access.key_condition for access in accesses(store, run_queries) if access.table == table]


def test_board_reads_no_images(store: Store) -> None:
    runs = store.sealed_runs()
    assert len(runs) == 3
    for run_queries in (store.sealed_runs, store.reported, lambda: counts_at(store, runs, 0.25, 0.5)):
        assert key_conditions(store, "image_result", run_queries) == []


def test_curve_at_a_radius_is_read_by_its_key(store: Store) -> None:
    runs = store.sealed_runs()
    conditions = key_conditions(store, "curve_block", lambda: counts_at(store, runs, 0.25, 0.5))
    assert ["curve_id" in condition and "first_radius" in condition for condition in conditions] == [True]


def test_complete_curve_is_read_by_its_key(store: Store) -> None:
    curve = store.sealed_runs()[0].curve
    assert curve is not None
    conditions = key_conditions(store, "curve_block", lambda: store.step_curves([curve.id]))
    assert ["curve_id" in condition for condition in conditions] == [True]


@pytest.mark.parametrize("with_votes", [False, True])
def test_images_are_read_by_their_run(store: Store, with_votes: bool) -> None:
    run_id = store.sealed_runs()[0].id
    conditions = key_conditions(store, "image_result", lambda: store.image_columns(run_id, with_votes=with_votes))
    assert ["run_id" in condition for condition in conditions] == [True]


def test_images_are_counted_by_their_run(store: Store) -> None:
    conditions = key_conditions(store, "image_result", store.incomplete_runs)
    assert ["run_id" in condition for condition in conditions] == [True]


def test_chunk_that_is_written_again_is_found_by_its_images(store: Store) -> None:
    images = part_of(store.image_columns(store.sealed_runs()[0].id, with_votes=True), slice(300, 310))
    open_run_id = store.incomplete_runs()[0].id

    def write() -> None:
        store.write_chunk(open_run_id, images, seconds=1.0, provenance=PROVENANCE)

    assert key_conditions(store, "image_result", write) == []
    conditions = key_conditions(store, "image_result", write)
    assert ["run_id" in condition and "image_index" in condition for condition in conditions] == [True]
