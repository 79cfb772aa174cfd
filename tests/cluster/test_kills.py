"""Certification on a real Ray, killed at seeded points and started again: the store of a run that nothing disturbed.

By default the tests take the first two points, a worker and a node; RSBENCH_TEST_KILLS says how many.
`python -m tests.cluster.test_kills` takes 20, or as many as its argument says, and prints what came of each.
"""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from ray._private.state import actors  # the public list needs Ray's dashboard

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.data.digits import load_digits
from rsbench.jobs.sweep import training_data
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import RunRecord
from rsbench.store.store import Store
from rsbench.training.noise_augmentation import train
from tests.fixtures.patience import wait_until
from tests.fixtures.ray_nodes import Nodes, running_nodes
from tests.fixtures.results import rows_of
from tests.fixtures.trained import store_with, trial

Kind = Literal["actor", "node", "driver", "ctrl-c"]

KINDS: tuple[Kind, ...] = ("actor", "node", "driver", "ctrl-c")
IMAGES = 40
# Seconds of work, in chunks of two images.
CERTIFY = f"certify --dataset digits --method uniform --images first:{IMAGES} --n 20000"
POINTS = 20
TESTED = int(os.environ.get("RSBENCH_TEST_KILLS", "2"))


@dataclass(frozen=True)
class Point:
    """What dies, and once how many images are stored; 0: as soon as the run is claimed."""

    number: int
    kind: Kind
    images: int


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    `stored`: images in the store just after the kill. `resumed`: images of the second command. `printed` on stdout and
    `told` on stderr: by the first.
    """

    point: Point
    victim: str
    stored: int
    exit_code: int
    resumed: int
    equal: bool
    printed: str
    told: str
    seconds: float


def points(count: int) -> list[Point]:
    """The same points every time."""
    drawn = random.Random(20)  # noqa: S311 - must be the same every time
    return [Point(i, KINDS[i % len(KINDS)], drawn.choice((0, drawn.randrange(1, IMAGES)))) for i in range(count)]


class Harness:
    """Runs of one checkpoint, on nodes that die."""

    def __init__(self, nodes: Nodes, digits: ImageDataset, checkpoint: Checkpoint, folder: Path) -> None:
        self._nodes, self._digits, self._checkpoint, self._folder = nodes, digits, checkpoint, folder
        database = self._new_store("undisturbed")
        assert run([*CERTIFY.split(), "--workers", "0", "--db", database]) == 0
        self._expected = contents(database)

    def outcome(self, point: Point) -> Outcome:
        """Kill at a point, then give the same command again."""
        began = time.monotonic()
        self._nodes.replace()
        database = self._new_store(f"point{point.number}")
        command = [*CERTIFY.split(), "--workers", "2", "--db", database]
        driver = subprocess.Popen(
            [sys.executable, "-m", "rsbench", *command],
            env=os.environ | {"RAY_ADDRESS": self._nodes.address},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            wait_until(lambda: reached(database, point.images))
            victim = self._kill(point, driver)
            stored = the_run(database).done
            printed, told = driver.communicate(timeout=120)
        except BaseException:
            driver.kill()
            driver.communicate()
            raise
        left = IMAGES - the_run(database).done
        assert run(command) == 0
        equal = contents(database) == self._expected
        return Outcome(point, victim, stored, driver.returncode, left, equal, printed, told, time.monotonic() - began)

    def _kill(self, point: Point, driver: subprocess.Popen[str]) -> str:
        if point.kind == "driver":
            driver.kill()
            return f"process {driver.pid}"
        if point.kind == "ctrl-c":
            driver.send_signal(signal.SIGINT)
            return f"process {driver.pid}"
        wait_until(lambda: len(voting()) == 2)
        if point.kind == "node":
            self._nodes.kill()
            return "second node"
        process = sorted(actor["Pid"] for actor in voting())[point.number % 2]
        os.kill(process, signal.SIGKILL)
        return f"process {process}"

    def _new_store(self, name: str) -> str:
        store_with(self._folder / name, self._digits, self._checkpoint).close()
        return str(self._folder / name / "results.db")


def voting() -> list[dict[str, Any]]:
    """The voting actors that run, by Ray's own account."""
    found: list[dict[str, Any]] = list(actors().values())
    return [actor for actor in found if actor["ActorClassName"] == "VotingActor" and actor["State"] == "ALIVE"]


def the_run(database: str) -> RunRecord:
    with Store.open_existing(database) as store:
        [found] = [*store.incomplete_runs(), *store.sealed_runs()]
        return found


def reached(database: str, images: int) -> bool:
    """Whether a run has been claimed and as many images are stored."""
    with Store.open_existing(database) as store:
        return any(run.done >= images for run in [*store.incomplete_runs(), *store.sealed_runs()])


def contents(database: str) -> tuple[str | None, list[tuple[object, ...]]]:
    """The seal, and every row with its votes and radius."""
    with Store.open_existing(database) as store:
        [found] = store.sealed_runs()
        return found.seal, rows_of(store, found.id)


@pytest.fixture(scope="module")
def harness(
    mortal_nodes: Nodes, digits: ImageDataset, trained: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Harness]:
    yield Harness(mortal_nodes, digits, trained["uniform"], tmp_path_factory.mktemp("kills"))
    mortal_nodes.replace()


@pytest.mark.slow
@pytest.mark.parametrize("point", points(TESTED), ids=lambda point: f"{point.kind} after {point.images} images")
def test_whatever_dies_the_store_becomes_that_of_an_undisturbed_run(point: Point, harness: Harness) -> None:
    outcome = harness.outcome(point)
    assert outcome.equal
    # What dies beside the driver is no affair of the user's.
    expected = {"actor": {0}, "node": {0}, "driver": {-signal.SIGKILL}, "ctrl-c": {130}}
    finished = {0} if outcome.stored == IMAGES else set()
    assert outcome.exit_code in expected[point.kind] | finished
    # Ray has screens to say of whatever dies.
    assert outcome.printed == ""
    assert "raylet" not in outcome.told
    assert "Traceback" not in outcome.told


def main(count: int) -> None:
    """Print the outcome of some points."""
    digits = load_digits()
    checkpoint = train(trial(digits.info, "uniform"), training_data(digits), "cpu", lambda _: None)
    print("point  what    at images  stored  exit code  left  equal  seconds  victim")
    equal = 0
    with running_nodes() as nodes, tempfile.TemporaryDirectory(prefix="kills") as folder:
        harness = Harness(nodes, digits, checkpoint, Path(folder))
        for point in points(count):
            o = harness.outcome(point)
            equal += o.equal
            print(
                f"{point.number:>5}  {point.kind:<6}  {point.images:>9}  {o.stored:>6}  {o.exit_code:>9}  "
                f"{o.resumed:>4}  {'yes' if o.equal else 'NO':<5}  {o.seconds:>7.1f}  {o.victim}",
                flush=True,
            )
    print(f"{equal} of {count} equal to the undisturbed run, byte for byte")
    sys.exit(equal != count)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else POINTS)
