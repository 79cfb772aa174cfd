"""Whatever is changed in a sealed run behind the store's back is found."""

import hashlib
import math
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import Connection, text

from rsbench.records import ImageColumns
from rsbench.store.check import Finding
from rsbench.store.seal import BLOCK, seal_of
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, write_run


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.create_or_open(database) as opened:
        for method in ("ssn", "dssn"):
            write_run(opened, DIGITS, method, 0.5, 0, images="0:50:1", count=50)
        write_run(opened, DIGITS, "cohen", 0.5, 0, images="0:50:1", count=50, sealed=False)
        yield opened


def findings(store: Store, *fingerprints: str) -> list[Finding]:
    return list(store.check(fingerprints, checked=lambda fingerprint: None))


def unchecked(connection: Connection) -> None:
    """Let foreign keys be broken."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET session_replication_role = replica"))


def test_a_whole_store_has_no_findings(store: Store) -> None:
    checked: list[str] = []
    assert list(store.check(checked=checked.append)) == []
    assert checked == [run.fingerprint for run in store.sealed_runs()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE image_result SET radius = radius + 0.25 WHERE run_id = 1 AND image_index = 7", ["are not those that"]),
        ("UPDATE image_result SET label = label + 1 WHERE run_id = 1 AND image_index = 7", ["are not those that"]),
        ("UPDATE image_result SET predicted = NULL WHERE run_id = 1 AND image_index = 7", ["are not those that"]),
        (
            """UPDATE image_result SET votes = (SELECT votes FROM image_result WHERE run_id = 2 AND image_index = 8)
            WHERE run_id = 1 AND image_index = 7""",
            ["are not those that", "the votes of images 0 to 49 cannot be read"],
        ),
        ("DELETE FROM image_result WHERE run_id = 1 AND image_index = 7", ["are not those that", "49 images"]),
        ("UPDATE certification_run SET spec = replace(spec, '0.001', '0.002') WHERE id = 1", ["are not those that"]),
        ("UPDATE certification_run SET seal = NULL WHERE id = 1", ["the seal is None"]),
        ("UPDATE certified_curve SET correct = correct + 1 WHERE run_id = 1", ["not as many radii", "correct images"]),
        ("UPDATE certified_curve SET abstained = abstained + 1 WHERE run_id = 1", ["has abstentions"]),
        (
            "UPDATE certified_curve SET average_certified_radius = 9 WHERE run_id = 1",
            ["has the average certified radius 9.0"],
        ),
        ("UPDATE curve_block SET above = above + 1 WHERE curve_id = 1", ["is not that of its rows"]),
        ("DELETE FROM curve_block WHERE curve_id = 1", ["not as many radii", "is not that of its rows"]),
        ("UPDATE certified_curve SET is_primary = NOT is_primary WHERE run_id = 1", ["not exactly one curve"]),
    ],
)
def test_a_change_of_a_sealed_run_is_found_and_named(store: Store, change: str, told: list[str]) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(change))
    first, other = store.sealed_runs()
    found = findings(store)
    assert {finding.run for finding in found} == {first.fingerprint}
    for part in told:
        assert any(part in finding.message for finding in found), found
    assert findings(store, first.fingerprint) == found
    assert findings(store, other.fingerprint) == []


def test_rows_that_refer_to_nothing_are_found(store: Store) -> None:
    with store.engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.exec_driver_sql("BEGIN")
        unchecked(connection)
        connection.execute(text("UPDATE certification_run SET checkpoint_sha256 = 'gone' WHERE id = 3"))
        connection.execute(text("INSERT INTO run_provenance VALUES (77, 0, '{}', '2026')"))
        connection.commit()
    assert [finding.message for finding in findings(store)] == [
        "1 rows of certification_run refer by checkpoint_sha256 to no row of checkpoint",
        "1 rows of run_provenance refer by run_id to no row of certification_run",
    ]


def test_the_seal_is_that_of_its_rows_however_they_are_read(store: Store) -> None:
    run = store.sealed_runs()[0]
    rows = store.image_columns(run.id, with_votes=True)
    assert seal_of(run.spec.canonical_json(), [rows]) == run.seal
    assert seal_of(run.spec.canonical_json(), store.image_blocks(run.id, BLOCK)) == run.seal
    assert seal_of(run.spec.canonical_json() + " ", [rows]) != run.seal


def test_the_seal_never_changes_its_definition() -> None:
    """A seal that was written by an earlier version must be found again by every later one."""
    columns = (np.array([0, 1]), np.array([3, 3]), np.array([3, -1]), np.array([0.5, 0.0]))
    votes = (b"\2\1\2\0", b"\2\1\2\1\0\5")
    sealed = b"{}" + struct.pack("<6q2d2d2q", 0, 1, 3, 3, 3, -1, 0.5, 0.0, math.nan, math.nan, 4, 6) + b"".join(votes)
    assert seal_of("{}", [ImageColumns(*columns, votes=votes)]) == hashlib.sha256(sealed).hexdigest()
    sigma_N = np.array([0.25, 0.5])
    sealed = b"{}" + struct.pack("<6q2d2d2q", 0, 1, 3, 3, 3, -1, 0.5, 0.0, 0.25, 0.5, -1, -1)
    assert seal_of("{}", [ImageColumns(*columns, sigma_N=sigma_N)]) == hashlib.sha256(sealed).hexdigest()
