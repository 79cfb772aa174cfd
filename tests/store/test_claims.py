"""An open run is one writer's alone, for as long as it is at work."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import select, text

from rsbench.errors import IncompleteError
from rsbench.records import ImageColumns
from rsbench.specs import CertificationSpec
from rsbench.store import claims
from rsbench.store import tables as t
from rsbench.store.store import Store
from tests.fixtures.commands import wait_until
from tests.fixtures.results import DIGITS, PROVENANCE, certification_of, rows_of, write_run


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.create_or_open(database) as opened:
        yield opened


@pytest.fixture
def other(store: Store, database: str) -> Iterator[Store]:
    """Another process, as far as the database can tell."""
    with Store.create_or_open(database) as opened:
        yield opened


def half_a_run(store: Store) -> CertificationSpec:
    return write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)


def rest_of(store: Store, run_id: int) -> ImageColumns:
    written = store.image_columns(run_id, with_votes=True)
    return replace(written, index_N=written.index_N + 25)


def set_claim(store: Store, **values: str | float) -> None:
    with store.engine.begin() as connection:
        connection.execute(t.run_claim.update().values(**values))


def expire(store: Store) -> None:
    """As when nothing was heard of its holder for a minute."""
    set_claim(store, expires_at=1.0)


def test_a_claimed_run_is_refused_with_host_process_and_time(store: Store, other: Store) -> None:
    spec = half_a_run(store)
    with pytest.raises(IncompleteError) as error:
        other.open_run(spec, image_count=50)
    claim = store.details(store.run(spec.fingerprint()).id).claim
    assert claim is not None
    assert claim.process == os.getpid()
    told = str(error.value)
    assert "\n" not in told
    assert f"run {spec.fingerprint()[:12]} is being certified by process {os.getpid()} on {claim.host} since " in told
    assert claim.since[:10] in told
    assert error.value.exit_code == 3


def test_other_runs_of_the_same_database_are_free(store: Store, other: Store) -> None:
    half_a_run(store)
    write_run(other, DIGITS, "cohen", 0.5, 0, images="0:50:1", count=50)


def test_a_claim_ends_with_the_seal_and_when_its_holder_leaves(store: Store, other: Store, database: str) -> None:
    sealed = write_run(store, DIGITS, "cohen", 0.5, 0, images="0:50:1", count=50)
    assert other.open_run(sealed, image_count=50).is_sealed
    with Store.create_or_open(database) as third:
        spec = half_a_run(third)
    assert len(other.open_run(spec, image_count=50).done) == 25


def test_what_is_claimed_within_keeping_claims_is_given_back_whatever_happens(store: Store, other: Store) -> None:
    def interrupted() -> None:
        with store.keeping_claims():
            half_a_run(store)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    [run] = store.incomplete_runs()
    spec = certification_of(run)
    assert len(other.open_run(spec, image_count=50).done) == 25


def test_who_lost_a_run_writes_and_seals_nothing(store: Store, other: Store) -> None:
    spec = half_a_run(store)
    run = store.run(spec.fingerprint())
    expire(store)
    other.open_run(spec, image_count=50)
    before, rest = rows_of(store, run.id), rest_of(store, run.id)
    with pytest.raises(IncompleteError, match=f"was taken over by process {os.getpid()} on .*the same command resumes"):
        store.write_chunk(run.id, rest, seconds=1.0, provenance=PROVENANCE)
    assert rows_of(store, run.id) == before
    other.write_chunk(run.id, rest, seconds=1.0, provenance=PROVENANCE)
    with pytest.raises(IncompleteError, match="was taken over by process"):
        store.seal(run.id)
    other.release_claims()
    with pytest.raises(IncompleteError, match="was taken over by another process, which has ended"):
        store.seal(run.id)
    assert store.sealed_runs() == []
    assert store.run(spec.fingerprint()).worker_seconds == 2.5


def test_an_expired_claim_that_nobody_took_is_still_its_holders(store: Store, other: Store) -> None:
    """As when a laptop slept: nothing was written meanwhile, so nothing is written twice."""
    spec = half_a_run(store)
    run = store.run(spec.fingerprint())
    expire(store)
    assert store.details(run.id).claim is None
    store.write_chunk(run.id, rest_of(store, run.id), seconds=1.0, provenance=PROVENANCE)
    with pytest.raises(IncompleteError, match="is being certified by"):
        other.open_run(spec, image_count=50)
    store.seal(run.id)


def test_the_claim_of_a_process_that_is_gone_is_dead_at_once(store: Store, other: Store) -> None:
    spec = half_a_run(store)
    holder = subprocess.run(
        [sys.executable, "-c", "from rsbench.store.claims import new_holder; print(new_holder())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    set_claim(store, holder=holder)
    assert store.details(store.run(spec.fingerprint()).id).claim is None
    assert len(other.open_run(spec, image_count=50).done) == 25


def test_a_process_of_another_machine_is_not_looked_for_among_ours(store: Store, other: Store) -> None:
    """Two machines may have one name; only the clock tells whether another's process lives."""
    spec = half_a_run(store)
    with store.engine.connect() as connection:
        host, _, token = str(connection.scalar(select(t.run_claim.c.holder))).rsplit(":", 2)
    nobody = 2**22 + 1  # no system numbers a process so
    for holder in (f"elsewhere:{nobody}:{token}", f"{host}:{nobody}:another.machine-0"):
        set_claim(store, holder=holder)
        with pytest.raises(IncompleteError, match=f"by process {nobody} on "):
            other.open_run(spec, image_count=50)
    expire(store)
    other.open_run(spec, image_count=50)


def test_a_claim_is_renewed_while_a_chunk_takes_long(
    store: Store, other: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEWAL", 0.01)
    with store.keeping_claims():
        spec = half_a_run(store)
        expire(store)
        run = store.run(spec.fingerprint())
        wait_until(lambda: other.details(run.id).claim is not None)
        with pytest.raises(IncompleteError, match="is being certified by"):
            other.open_run(spec, image_count=50)


def test_a_chunk_that_is_committed_twice_took_its_time_once(store: Store) -> None:
    """As when the server was lost between the commit and its answer."""
    spec = half_a_run(store)
    run = store.run(spec.fingerprint())
    rest = rest_of(store, run.id)
    for _ in range(2):
        store.write_chunk(run.id, rest, seconds=1.0, provenance=PROVENANCE)
    assert store.run(spec.fingerprint()).worker_seconds == 2.5


def test_the_clock_is_the_servers(postgresql: str) -> None:
    """A driver whose own clock is wrong neither keeps a run for ever nor loses it at once."""
    with Store.create_or_open(postgresql) as store:
        half_a_run(store)
        with store.engine.connect() as connection:
            left = connection.scalar(text("SELECT expires_at - extract(epoch FROM clock_timestamp()) FROM run_claim"))
    assert left is not None
    assert 0.0 < left <= claims.EXPIRY
