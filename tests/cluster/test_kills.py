"""Certification on a real Ray, disturbed at seeded points and started again: the store of a run that nothing disturbed.

By default the tests take the first two points; RSBENCH_TEST_KILLS says how many.
`python -m tests.cluster.test_kills` takes 20, two of each kind, or as many as its argument says, and prints what came
of each.
"""

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.data.in_memory import load_digits
from tests.cluster.accidents import ACCIDENTS
from tests.cluster.stage import CHUNK, IMAGES, Stage, done, the_run
from tests.fixtures.commands import wait_until
from tests.fixtures.ray_nodes import Nodes, running_nodes

POINTS = 20
TESTED = int(os.environ.get("RSBENCH_TEST_KILLS", "2"))


@dataclass(frozen=True)
class Point:
    """What happens, and when: once so many images are stored; 0: as soon as the run is claimed."""

    number: int
    kind: str
    images: int


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    `stored`: images in the store just after the accident, `kept`: once the command that met it has ended.
    `complaints`: what is not as it should be.
    """

    victim: str
    stored: int
    exit_code: int
    kept: int
    complaints: tuple[str, ...]
    seconds: float


def points(count: int) -> list[Point]:
    """The same points every time."""
    drawn, kinds = random.Random(20), list(ACCIDENTS)  # noqa: S311 - must be the same every time
    return [
        Point(i, kinds[i % len(kinds)], max(0, drawn.randrange(-IMAGES // 4, IMAGES - CHUNK))) for i in range(count)
    ]


def outcome_of(point: Point, stage: Stage) -> Outcome:
    """Let the accident of a point happen, then give the same command again."""
    began = time.monotonic()
    accident = ACCIDENTS[point.kind](stage, point.number, point.images)
    started = driver = stage.start(accident.task, accident.database)
    try:
        wait_until(lambda: driver.has_ended() or has_reached(accident.database, accident.after), 300)
        driver, victim = accident.strike(driver)
        stored = done(accident.database)
        exit_code, printed = driver.finish()
    finally:
        started.kill()
        driver.kill()
        accident.mend()
    kept = done(accident.database)
    # Who is late disturbs nothing.
    finished = {0} if stored == IMAGES else set()
    last = driver.told.splitlines()[-1:]
    verdicts = {
        "another exit code": exit_code in {accident.exit_code} | finished,
        # Ray has screens to say of whatever dies.
        "output": printed == "" and "raylet" not in driver.told,
        "a traceback": "Traceback" not in driver.told,
        "not one line": not accident.refuses
        or exit_code == 0
        or (driver.told.count("rsbench: ") == 1 and last[0].startswith("rsbench: ")),
        "unnoticed": accident.says in driver.told or stored == IMAGES,
        "lost images": kept >= max(stored, accident.least),
        "another store": accident.ends_right(),
    }
    complaints = tuple(f"{name}: {driver.told}" for name, holds in verdicts.items() if not holds)
    return Outcome(victim, stored, exit_code, kept, complaints, time.monotonic() - began)


def has_reached(database: str, images: int) -> bool:
    """Whether a run has been claimed and as many images are stored."""
    found = the_run(database)
    return found is not None and found.done >= images


@pytest.fixture(scope="module")
def stage(mortal_nodes: Nodes, digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    found = Stage(mortal_nodes, digits, tmp_path_factory.mktemp("kills"))
    yield found
    found.close()


@pytest.mark.slow
@pytest.mark.parametrize("point", points(TESTED), ids=lambda point: f"{point.kind} after {point.images} images")
def test_whatever_happens_the_store_becomes_that_of_an_undisturbed_run(point: Point, stage: Stage) -> None:
    assert outcome_of(point, stage).complaints == ()


def main(count: int) -> None:
    """Print the outcome of some points."""
    print("point  what        at images  stored  exit code  kept  right  seconds  victim")
    right = 0
    with running_nodes() as nodes, tempfile.TemporaryDirectory(prefix="kills") as folder:
        stage = Stage(nodes, load_digits(), Path(folder))
        for point in points(count):
            o = outcome_of(point, stage)
            right += not o.complaints
            print(
                f"{point.number:>5}  {point.kind:<10}  {point.images:>9}  {o.stored:>6}  {o.exit_code:>9}  {o.kept:>4}"
                f"  {'NO' if o.complaints else 'yes':<5}  {o.seconds:>7.1f}  {o.victim}",
                *o.complaints,
                sep="\n",
                flush=True,
            )
        stage.close()
    print(f"{right} of {count} right: the store of an undisturbed run, byte for byte, or of a network that fails, "
          "what is right of it")  # fmt: skip
    sys.exit(right != count)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else POINTS)
