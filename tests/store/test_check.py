"""`Store.check` finds every change that was made to a sealed run without the store."""

import hashlib
import math
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from sqlalchemy import Connection, text

from rsbench.records import ImageColumns
from rsbench.store.check import Finding
from rsbench.store.seal import SEAL_BLOCK_SIZE, compute_seal
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, write_run

SEAL_DIFFERS = "changed after it was sealed"
BLOCKS_DIFFER = "differs from the radii of its rows"


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    """Two sealed runs and an open one, with ids 1 to 3."""
    with Store.create_or_open(database) as opened:
        for method in ("ssn", "dssn"):
            write_run(opened, DIGITS, method, 0.5, 0, images="0:50:1", count=50)
        write_run(opened, DIGITS, "cohen", 0.5, 0, images="0:50:1", count=50, sealed=False)
        yield opened


def check(store: Store, *fingerprints: str) -> list[Finding]:
    return list(store.check(fingerprints, on_checked=lambda fingerprint: None))


def test_intact_store_has_no_findings(store: Store) -> None:
    checked: list[str] = []
    assert list(store.check(on_checked=checked.append)) == []
    assert checked == [run.fingerprint for run in store.sealed_runs()]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE image_result SET radius = radius + 0.25 WHERE run_id = 1 AND image_index = 7", [SEAL_DIFFERS]),
        ("UPDATE image_result SET label = label + 1 WHERE run_id = 1 AND image_index = 7", [SEAL_DIFFERS]),
        ("UPDATE image_result SET predicted = NULL WHERE run_id = 1 AND image_index = 7", [SEAL_DIFFERS]),
        (
            """UPDATE image_result SET votes = (SELECT votes FROM image_result WHERE run_id = 2 AND image_index = 8)
            WHERE run_id = 1 AND image_index = 7""",
            [SEAL_DIFFERS, "the votes of images 0 to 49 cannot be decoded"],
        ),
        (
            "DELETE FROM image_result WHERE run_id = 1 AND image_index = 7",
            [SEAL_DIFFERS, "it has 49 images, but was sealed with 50"],
        ),
        ("UPDATE certification_run SET spec = replace(spec, '0.001', '0.002') WHERE id = 1", [SEAL_DIFFERS]),
        ("UPDATE certification_run SET seal = NULL WHERE id = 1", ["the seal is None"]),
        (
            "UPDATE certified_curve SET correct = correct + 1 WHERE run_id = 1",
            ["n = 1000 has 49 radii, but 50 correct images", "has correct images 50, but the rows give 49"],
        ),
        (
            "UPDATE certified_curve SET abstained = abstained + 1 WHERE run_id = 1",
            ["has abstentions 2, but the rows give 1"],
        ),
        (
            "UPDATE certified_curve SET average_certified_radius = 9 WHERE run_id = 1",
            ["has average certified radius 9.0, but"],
        ),
        ("UPDATE curve_block SET above = above + 1 WHERE curve_id = 1", [BLOCKS_DIFFER]),
        (
            "DELETE FROM curve_block WHERE curve_id = 1",
            ["has 0 radii, but 49 correct images", BLOCKS_DIFFER],
        ),
        (
            "UPDATE certified_curve SET is_primary = NOT is_primary WHERE run_id = 1",
            ["it has 0 curves that its specification declares"],
        ),
    ],
)
def test_change_of_a_sealed_run_is_found(store: Store, change: str, expected: list[str]) -> None:
    with store.engine.begin() as connection:
        connection.execute(text(change))
    changed_run, other_run = store.sealed_runs()
    findings = check(store)
    assert {finding.run for finding in findings} == {changed_run.fingerprint}
    for part in expected:
        assert any(part in finding.message for finding in findings), findings
    assert check(store, changed_run.fingerprint) == findings
    assert check(store, other_run.fingerprint) == []


def disable_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET session_replication_role = replica"))
    else:
        # SQLite ignores this pragma within a transaction.
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
        connection.exec_driver_sql("BEGIN")


def test_references_to_missing_rows_are_found(store: Store) -> None:
    with store.engine.connect() as connection:
        disable_foreign_keys(connection)
        connection.execute(text("UPDATE certification_run SET checkpoint_sha256 = 'gone' WHERE id = 3"))
        connection.execute(text("INSERT INTO run_provenance VALUES (77, 0, '{}', '2026')"))
        connection.commit()
    assert [finding.message for finding in check(store)] == [
        "rows of checkpoint that certification_run.checkpoint_sha256 refers to are missing: 1",
        "rows of certification_run that run_provenance.run_id refers to are missing: 1",
    ]


def test_seal_does_not_depend_on_how_rows_are_read(store: Store) -> None:
    run = store.sealed_runs()[0]
    rows = store.image_columns(run.id, with_votes=True)
    assert compute_seal(run.spec.canonical_json(), [rows]) == run.seal
    assert compute_seal(run.spec.canonical_json(), store.image_blocks(run.id, SEAL_BLOCK_SIZE)) == run.seal
    assert compute_seal(run.spec.canonical_json() + " ", [rows]) != run.seal


def test_definition_of_the_seal_never_changes() -> None:
    """Every release must compute the same seals as the releases before it."""
    columns = (np.array([0, 1]), np.array([3, 3]), np.array([3, -1]), np.array([0.5, 0.0]))
    votes = (b"\2\1\2\0", b"\2\1\2\1\0\5")
    hashed = b"{}" + struct.pack("<6q2d2d2q", 0, 1, 3, 3, 3, -1, 0.5, 0.0, math.nan, math.nan, 4, 6) + b"".join(votes)
    assert compute_seal("{}", [ImageColumns(*columns, votes=votes)]) == hashlib.sha256(hashed).hexdigest()
    sigma_N = np.array([0.25, 0.5])
    hashed = b"{}" + struct.pack("<6q2d2d2q", 0, 1, 3, 3, 3, -1, 0.5, 0.0, 0.25, 0.5, -1, -1)
    assert compute_seal("{}", [ImageColumns(*columns, sigma_N=sigma_N)]) == hashlib.sha256(hashed).hexdigest()
