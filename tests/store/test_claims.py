"""An open run belongs to one writer at a time."""

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
def other_store(store: Store, database: str) -> Iterator[Store]:
    """A second writer, which the database cannot tell from one in another process."""
    with Store.create_or_open(database) as opened:
        yield opened


def write_half_a_run(store: Store) -> CertificationSpec:
    """Open a run, which claims it, and write the first 25 of its 50 images."""
    return write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)


def second_half(store: Store, run_id: int) -> ImageColumns:
    first_half = store.image_columns(run_id, with_votes=True)
    return replace(first_half, index_N=first_half.index_N + 25)


def set_claim(store: Store, **values: str | float) -> None:
    with store.engine.begin() as connection:
        connection.execute(t.run_claim.update().values(**values))


def let_claim_expire(store: Store) -> None:
    """Set the expiry to the past, as if the claim had not been renewed for a minute."""
    set_claim(store, expires_at=1.0)


def test_opening_a_claimed_run_names_host_process_and_time(store: Store, other_store: Store) -> None:
    spec = write_half_a_run(store)
    with pytest.raises(IncompleteError) as error:
        other_store.open_run(spec, image_count=50)
    claim = store.details(store.run(spec.fingerprint()).id).claim
    assert claim is not None
    assert claim.process == os.getpid()
    message = str(error.value)
    assert "\n" not in message
    assert (
        f"run {spec.fingerprint()[:12]} is being certified by process {os.getpid()} on {claim.host} since " in message
    )
    assert claim.since[:10] in message
    assert error.value.exit_code == 3


def test_claim_does_not_affect_other_runs(store: Store, other_store: Store) -> None:
    write_half_a_run(store)
    write_run(other_store, DIGITS, "cohen", 0.5, 0, images="0:50:1", count=50)


def test_claim_ends_when_the_run_is_sealed_and_when_the_store_is_closed(
    store: Store, other_store: Store, database: str
) -> None:
    sealed = write_run(store, DIGITS, "cohen", 0.5, 0, images="0:50:1", count=50)
    assert other_store.open_run(sealed, image_count=50).is_sealed
    with Store.create_or_open(database) as third_store:
        spec = write_half_a_run(third_store)
    assert len(other_store.open_run(spec, image_count=50).done) == 25


def test_renewed_claims_are_released_when_the_block_is_interrupted(store: Store, other_store: Store) -> None:
    def write_until_interrupted() -> None:
        with store.renewed_claims():
            write_half_a_run(store)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_until_interrupted()
    [run] = store.incomplete_runs()
    spec = certification_of(run)
    assert len(other_store.open_run(spec, image_count=50).done) == 25


def test_writer_that_lost_its_claim_can_neither_write_nor_seal(store: Store, other_store: Store) -> None:
    spec = write_half_a_run(store)
    run = store.run(spec.fingerprint())
    let_claim_expire(store)
    other_store.open_run(spec, image_count=50)
    before, rest = rows_of(store, run.id), second_half(store, run.id)
    with pytest.raises(IncompleteError, match=f"was taken over by process {os.getpid()} on .*the same command resumes"):
        store.write_chunk(run.id, rest, seconds=1.0, provenance=PROVENANCE)
    assert rows_of(store, run.id) == before
    other_store.write_chunk(run.id, rest, seconds=1.0, provenance=PROVENANCE)
    with pytest.raises(IncompleteError, match="was taken over by process"):
        store.seal(run.id)
    other_store.release_claims()
    with pytest.raises(IncompleteError, match="was taken over by another process, which has ended"):
        store.seal(run.id)
    assert store.sealed_runs() == []
    assert store.run(spec.fingerprint()).worker_seconds == 2.5


def test_expired_claim_that_nobody_took_is_renewed_by_writing(store: Store, other_store: Store) -> None:
    """This happens after a laptop slept. Nobody else has written, so nothing can be written twice."""
    spec = write_half_a_run(store)
    run = store.run(spec.fingerprint())
    let_claim_expire(store)
    assert store.details(run.id).claim is None
    store.write_chunk(run.id, second_half(store, run.id), seconds=1.0, provenance=PROVENANCE)
    with pytest.raises(IncompleteError, match="is being certified by"):
        other_store.open_run(spec, image_count=50)
    store.seal(run.id)


def test_claim_of_a_process_that_has_ended_ends_at_once(store: Store, other_store: Store) -> None:
    spec = write_half_a_run(store)
    ended_holder = subprocess.run(
        [sys.executable, "-c", "from rsbench.store.claims import new_holder; print(new_holder())"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    set_claim(store, holder=ended_holder)
    assert store.details(store.run(spec.fingerprint()).id).claim is None
    assert len(other_store.open_run(spec, image_count=50).done) == 25


def test_claim_of_another_machine_ends_only_when_it_expires(store: Store, other_store: Store) -> None:
    """Another machine is recognised by its name, or by its process namespace if it has the same name as this one."""
    spec = write_half_a_run(store)
    with store.engine.connect() as connection:
        host, _, token = str(connection.scalar(select(t.run_claim.c.holder))).rsplit(":", 2)
    unused_process = 2**22 + 1  # above the largest process number that Linux allows
    for holder in (f"elsewhere:{unused_process}:{token}", f"{host}:{unused_process}:another.machine-0"):
        set_claim(store, holder=holder)
        with pytest.raises(IncompleteError, match=f"by process {unused_process} on "):
            other_store.open_run(spec, image_count=50)
    let_claim_expire(store)
    other_store.open_run(spec, image_count=50)


def test_renewed_claims_stay_alive_while_nothing_is_written(
    store: Store, other_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "RENEWAL_SECONDS", 0.01)
    with store.renewed_claims():
        spec = write_half_a_run(store)
        let_claim_expire(store)
        run = store.run(spec.fingerprint())
        wait_until(lambda: other_store.details(run.id).claim is not None)
        with pytest.raises(IncompleteError, match="is being certified by"):
            other_store.open_run(spec, image_count=50)


def test_time_of_a_chunk_that_is_written_twice_counts_once(store: Store) -> None:
    """A chunk is written twice if the connection was lost after the commit, before the server confirmed it."""
    spec = write_half_a_run(store)
    run = store.run(spec.fingerprint())
    rest = second_half(store, run.id)
    for _ in range(2):
        store.write_chunk(run.id, rest, seconds=1.0, provenance=PROVENANCE)
    assert store.run(spec.fingerprint()).worker_seconds == 2.5


def test_claims_on_postgresql_expire_by_the_clock_of_the_server(postgresql: str) -> None:
    """A driver whose own clock is wrong must neither keep a run too long nor lose it too early."""
    with Store.create_or_open(postgresql) as store:
        write_half_a_run(store)
        with store.engine.connect() as connection:
            query = text("SELECT expires_at - extract(epoch FROM clock_timestamp()) FROM run_claim")
            seconds_left = connection.scalar(query)
    assert seconds_left is not None
    assert 0.0 < seconds_left <= claims.EXPIRY_SECONDS
