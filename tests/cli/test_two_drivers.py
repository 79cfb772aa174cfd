"""Two drivers on one run, as real processes: one works, the other says so; what dies or is stopped loses its claim."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import ClaimRecord
from rsbench.specs import CertificationSpec
from rsbench.store.store import Store
from tests.fixtures.patience import wait_until
from tests.fixtures.trained import store_with

# So many votes that no test sees the end of it.
CERTIFY = ["certify", "--dataset", "digits", "--method", "uniform", "--n", "100000", "--workers", "0"]


class Drivers:
    """Driver processes on one store."""

    def __init__(self, home: Path, ended: ExitStack) -> None:
        self.database = home / "results.db"
        self._ended = ended

    def start(self) -> subprocess.Popen[str]:
        driver = subprocess.Popen([sys.executable, "-m", "rsbench", *CERTIFY], stderr=subprocess.PIPE, text=True)
        self._ended.callback(end, driver)
        return driver

    def claim(self) -> ClaimRecord | None:
        with Store.open_existing(str(self.database)) as store:
            return next((store.details(run.id).claim for run in store.incomplete_runs()), None)

    def done(self) -> int:
        with Store.open_existing(str(self.database)) as store:
            return sum(run.done for run in store.incomplete_runs())

    def wait_for_claim(self, driver: subprocess.Popen[str]) -> None:
        wait_until(lambda: (claim := self.claim()) is not None and claim.process == driver.pid)

    def stop(self, driver: subprocess.Popen[str]) -> None:
        """SIGSTOP, but not while it holds the lock of the database, which nothing but its end would free."""

        def stopped_without_lock() -> bool:
            driver.send_signal(signal.SIGSTOP)
            try:
                with closing(sqlite3.connect(self.database, timeout=0.1, isolation_level=None)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("UPDATE run_claim SET expires_at = 1.0")
                    connection.execute("COMMIT")
            except sqlite3.OperationalError:
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
def drivers(home: Path, digits: ImageDataset, trained: dict[str, Checkpoint]) -> Iterator[Drivers]:
    store_with(home, digits, trained["uniform"]).close()
    with ExitStack() as ended:
        yield Drivers(home, ended)


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
    with closing(sqlite3.connect(drivers.database)) as connection:
        assert connection.execute("SELECT * FROM run_claim").fetchall() == []


@pytest.mark.slow
def test_a_driver_that_was_stopped_until_another_took_its_run_writes_nothing_more(drivers: Drivers) -> None:
    stopped = drivers.start()
    wait_until(lambda: drivers.done() > 0)
    drivers.stop(stopped)
    with Store.open_existing(str(drivers.database)) as store:
        [run] = store.incomplete_runs()
        store.open_run(CertificationSpec.from_json(run.spec_json), image_count=445)
        stopped.send_signal(signal.SIGCONT)
        _, told = stopped.communicate(timeout=60)
        assert stopped.returncode == 3
        assert told.splitlines()[-1].startswith(
            f"rsbench: run {run.fingerprint[:12]} was taken over by process {os.getpid()}"
        )
        assert "Traceback" not in told
        assert store.run(run.fingerprint).done == run.done
