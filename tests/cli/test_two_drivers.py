"""Two drivers on one run, as real processes: one works, the other says so; what dies or is stopped loses its claim."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import ClaimRecord
from rsbench.store import tables as t
from rsbench.store.store import Store
from tests.fixtures.commands import wait_until
from tests.fixtures.results import certification_of
from tests.fixtures.trained import store_with

# So many votes that no test sees the end of it.
CERTIFY = ["certify", "--dataset", "digits", "--method", "uniform", "--n", "100000", "--workers", "0"]


class Drivers:
    """Driver processes on one store."""

    def __init__(self, database: str, ended: ExitStack) -> None:
        self.database = database
        self._ended = ended

    def start(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "rsbench", *CERTIFY, "--db", self.database]
        driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self._ended.callback(end, driver)
        return driver

    def claim(self) -> ClaimRecord | None:
        with Store.open_existing(self.database) as store:
            return next((store.details(run.id).claim for run in store.incomplete_runs()), None)

    def claims(self) -> int:
        """How many there are, alive or dead."""
        with Store.open_existing(self.database) as store, store.engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(t.run_claim)) or 0)

    def set_claim(self, **values: Any) -> None:
        """Change the claim. Raises OperationalError where somebody else holds its lock."""
        with Store.open_existing(self.database) as store, store.engine.begin() as connection:
            sqlite = connection.dialect.name == "sqlite"
            connection.exec_driver_sql("PRAGMA busy_timeout = 100" if sqlite else "SET lock_timeout = 100")
            connection.execute(t.run_claim.update().values(**values))

    def done(self) -> int:
        with Store.open_existing(self.database) as store:
            return sum(run.done for run in store.incomplete_runs())

    def wait_for_claim(self, driver: subprocess.Popen[str]) -> None:
        wait_until(lambda: (claim := self.claim()) is not None and claim.process == driver.pid)

    def stop(self, driver: subprocess.Popen[str]) -> None:
        """SIGSTOP, but not while it holds the lock of the database, which nothing but its end would free."""

        def stopped_without_lock() -> bool:
            driver.send_signal(signal.SIGSTOP)
            try:
                self.set_claim(expires_at=1.0)
            except OperationalError:
                driver.send_signal(signal.SIGCONT)
                return False
            return True

        wait_until(stopped_without_lock)


def end(driver: subprocess.Popen[str]) -> None:
    driver.kill()
    driver.wait()
    if driver.stderr is not None:
        driver.stderr.close()


@pytest.fixture
def drivers(home: Path, database: str, digits: ImageDataset, trained: dict[str, Checkpoint]) -> Iterator[Drivers]:
    store_with(home, digits, trained["uniform"], database=database).close()
    with ExitStack() as ended:
        yield Drivers(database, ended)


@pytest.mark.slow
def test_of_two_drivers_started_at_once_one_works_and_a_killed_one_blocks_nobody(drivers: Drivers) -> None:
    both = [drivers.start(), drivers.start()]
    wait_until(lambda: any(driver.poll() is not None for driver in both))
    refused, working = sorted(both, key=lambda driver: driver.poll() is None)
    _, told = refused.communicate()
    assert refused.returncode == 3, told
    claim = drivers.claim()
    assert claim is not None
    assert claim.process == working.pid
    assert told.count("rsbench: ") == 1
    assert f"is being certified by process {working.pid} on {claim.host} since {claim.since[:10]}" in told
    assert "Traceback" not in told

    end(working)
    again = drivers.start()
    drivers.wait_for_claim(again)
    again.send_signal(signal.SIGINT)
    again.communicate()
    assert again.returncode == 130
    assert drivers.claims() == 0


@pytest.mark.slow
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_driver_that_died_on_another_machine_blocks_others_until_its_claim_expires(drivers: Drivers) -> None:
    dead = drivers.start()
    wait_until(lambda: drivers.done() > 0)
    end(dead)
    # Nobody here can see whether a process of that machine runs.
    drivers.set_claim(holder=func.replace(t.run_claim.c.holder, socket.gethostname(), "elsewhere"))
    refused = drivers.start()
    _, told = refused.communicate()
    assert refused.returncode == 3
    assert told.splitlines()[-1].startswith("rsbench: run ")
    assert f"is being certified by process {dead.pid} on elsewhere since" in told
    done = drivers.done()

    drivers.set_claim(expires_at=1.0)
    again = drivers.start()
    drivers.wait_for_claim(again)
    wait_until(lambda: drivers.done() > done)


@pytest.mark.slow
def test_a_driver_that_was_stopped_until_another_took_its_run_writes_nothing_more(drivers: Drivers) -> None:
    stopped = drivers.start()
    wait_until(lambda: drivers.done() > 0)
    drivers.stop(stopped)
    with Store.open_existing(drivers.database) as store:
        [run] = store.incomplete_runs()
        store.open_run(certification_of(run), image_count=445)
        stopped.send_signal(signal.SIGCONT)
        _, told = stopped.communicate(timeout=60)
        assert stopped.returncode == 3
        assert told.splitlines()[-1].startswith(
            f"rsbench: run {run.fingerprint[:12]} was taken over by process {os.getpid()}"
        )
        assert "Traceback" not in told
        assert store.run(run.fingerprint).done == run.done
