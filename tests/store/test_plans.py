"""How the databases find what the board asks for: no image is read, and a curve by the one block that is needed."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, PROVENANCE, part_of, write_run


@dataclass(frozen=True)
class Touched:
    """A table that a plan reads, and the condition on a key that it is searched by; empty where all of it is read."""

    table: str
    key: str


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.create_or_open(database) as opened:
        for seed in range(3):
            write_run(opened, DIGITS, "ssn", 0.5, seed, images="0:445:1", count=445)
        write_run(opened, DIGITS, "ssn", 1.0, 0, images="0:445:1", count=445, sealed=False)
        yield opened


def touched(store: Store, read: Callable[[], object]) -> set[Touched]:
    """What the plans of all queries touch that a reader sends."""
    sent: list[tuple[str, Any]] = []

    def note(_connection: Connection, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        sent.append((statement, parameters))

    event.listen(store.engine, "before_cursor_execute", note)
    try:
        read()
    finally:
        event.remove(store.engine, "before_cursor_execute", note)
    explain = _sqlite_plan if store.engine.dialect.name == "sqlite" else _postgresql_plan
    with store.engine.connect() as connection:
        found = {
            one
            for statement, parameters in sent
            if statement.lstrip().startswith(("SELECT", "WITH"))
            for one in explain(connection, statement, parameters)
        }
    assert found
    return found


def _sqlite_plan(connection: Connection, statement: str, parameters: Any) -> Iterator[Touched]:
    for *_, line in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        if line.startswith(("SCAN ", "SEARCH ")):
            key = re.search(r"\((.*)\)", line) if line.startswith("SEARCH") else None
            yield Touched(line.split()[1], key.group(1) if key else "")


def _postgresql_plan(connection: Connection, statement: str, parameters: Any) -> Iterator[Touched]:
    # Of tables this small PostgreSQL would rather read all; with more rows it would not.
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    plans = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    nodes = [plan["Plan"] for plan in plans]
    while nodes:
        node = nodes.pop()
        nodes += node.get("Plans", [])
        if "Relation Name" in node:
            yield Touched(node["Relation Name"], node.get("Index Cond", node.get("Recheck Cond", "")))


def keys_of(found: set[Touched], table: str) -> list[str]:
    return [one.key for one in found if one.table == table]


def test_the_board_reads_no_image(store: Store) -> None:
    runs = store.sealed_runs()
    assert len(runs) == 3
    for read in (store.sealed_runs, store.reported, lambda: store.with_certified(runs, [0.25, 0.5])):
        assert keys_of(touched(store, read), "image_result") == []


def test_a_curve_is_read_at_a_radius_by_its_key(store: Store) -> None:
    runs = store.sealed_runs()
    keys = keys_of(touched(store, lambda: store.with_certified(runs, [0.25, 0.5])), "curve_block")
    assert ["curve_id" in key and "first_radius" in key for key in keys] == [True]


def test_a_whole_curve_is_read_by_its_key(store: Store) -> None:
    curve = store.sealed_runs()[0].curve
    assert curve is not None
    keys = keys_of(touched(store, lambda: store.step_curves([curve.id])), "curve_block")
    assert ["curve_id" in key for key in keys] == [True]


@pytest.mark.parametrize("with_votes", [False, True])
def test_images_are_read_by_their_run(store: Store, with_votes: bool) -> None:
    run_id = store.sealed_runs()[0].id
    keys = keys_of(touched(store, lambda: store.image_columns(run_id, with_votes=with_votes)), "image_result")
    assert ["run_id" in key for key in keys] == [True]


def test_images_are_counted_by_their_run(store: Store) -> None:
    keys = keys_of(touched(store, store.incomplete_runs), "image_result")
    assert ["run_id" in key for key in keys] == [True]


def test_a_chunk_that_comes_again_is_looked_for_by_its_own_images(store: Store) -> None:
    images = part_of(store.image_columns(store.sealed_runs()[0].id, with_votes=True), slice(300, 310))
    unsealed = store.incomplete_runs()[0].id

    def write() -> None:
        store.write_chunk(unsealed, images, seconds=1.0, provenance=PROVENANCE)

    assert keys_of(touched(store, write), "image_result") == []
    keys = keys_of(touched(store, write), "image_result")
    assert ["run_id" in key and "image_index" in key for key in keys] == [True]
