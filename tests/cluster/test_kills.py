"""Certification on a real Ray cluster that suffers accidents ends with the store of an undisturbed run.

Each point is an accident at a seeded moment, after which the same command runs again. By default the tests take the
first two points; RSBENCH_TEST_KILLS sets another number. `python -m tests.cluster.test_kills` takes 20, two of each
kind, or as many as its argument says, and prints the outcome of each.
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
from tests.cluster.environment import CHUNK_IMAGES, IMAGES, Environment, only_run, stored_images
from tests.fixtures.commands import wait_until
from tests.fixtures.ray_nodes import Nodes, running_nodes

POINTS = 20
TESTED = int(os.environ.get("RSBENCH_TEST_KILLS", "2"))


@dataclass(frozen=True)
class Point:
    """An accident and its moment."""

    number: int
    kind: str
    """A key of `ACCIDENTS`."""

    images: int
    """How many images are stored when it happens; with 0 it happens as soon as the run is claimed."""


@dataclass(frozen=True)
class Outcome:
    """What an accident led to."""

    victim: str
    """What was hit."""

    stored: int
    """Images in the store just after the accident."""

    exit_code: int
    """Of the affected command."""

    kept: int
    """Images in the store once the affected command has ended."""

    complaints: tuple[str, ...]
    """What is not as it should be."""

    seconds: float


def points(count: int) -> list[Point]:
    """Return the same points every time."""
    generator, kinds = random.Random(20), list(ACCIDENTS)  # noqa: S311 - must be the same every time
    return [
        Point(i, kinds[i % len(kinds)], max(0, generator.randrange(-IMAGES // 4, IMAGES - CHUNK_IMAGES)))
        for i in range(count)
    ]


def outcome_of(point: Point, environment: Environment) -> Outcome:
    """Cause the accident of a point, then run the same command again."""
    began = time.monotonic()
    accident = ACCIDENTS[point.kind](environment, point.number, point.images)
    first_driver = driver = environment.start(accident.command, accident.database)
    try:
        wait_until(lambda: driver.has_ended() or has_reached(accident.database, accident.after), 300)
        driver, victim = accident.cause(driver)
        stored = stored_images(accident.database)
        exit_code, stdout = driver.finish()
    finally:
        first_driver.kill()
        driver.kill()
        accident.repair()
    kept = stored_images(accident.database)
    # An accident that comes too late affects nothing.
    also_allowed = {0} if stored == IMAGES else set()
    last_line = driver.stderr.splitlines()[-1:]
    checks = {
        "another exit code": exit_code in {accident.exit_code} | also_allowed,
        # Ray itself prints screenfuls about whatever dies.
        "output": stdout == "" and "raylet" not in driver.stderr,
        "a traceback": "Traceback" not in driver.stderr,
        "not one line": not accident.is_refused
        or exit_code == 0
        or (driver.stderr.count("rsbench: ") == 1 and last_line[0].startswith("rsbench: ")),
        "unnoticed": accident.message in driver.stderr or stored == IMAGES,
        "lost images": kept >= max(stored, accident.min_stored),
        "another store": accident.ends_right(),
    }
    complaints = tuple(f"{name}: {driver.stderr}" for name, passed in checks.items() if not passed)
    return Outcome(victim, stored, exit_code, kept, complaints, time.monotonic() - began)


def has_reached(database: str, images: int) -> bool:
    """Whether a run has been claimed and that many images are stored."""
    record = only_run(database)
    return record is not None and record.done >= images


@pytest.fixture(scope="module")
def environment(
    mortal_nodes: Nodes, digits: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Environment]:
    environment = Environment(mortal_nodes, digits, tmp_path_factory.mktemp("kills"))
    yield environment
    environment.close()


@pytest.mark.slow
@pytest.mark.parametrize("point", points(TESTED), ids=lambda point: f"{point.kind} after {point.images} images")
def test_the_store_after_an_accident_is_that_of_an_undisturbed_run(point: Point, environment: Environment) -> None:
    assert outcome_of(point, environment).complaints == ()


def main(count: int) -> None:
    """Print the outcome of some points."""
    print("point  what        at images  stored  exit code  kept  right  seconds  victim")
    right = 0
    with running_nodes() as nodes, tempfile.TemporaryDirectory(prefix="kills") as folder:
        environment = Environment(nodes, load_digits(), Path(folder))
        for point in points(count):
            o = outcome_of(point, environment)
            right += not o.complaints
            print(
                f"{point.number:>5}  {point.kind:<10}  {point.images:>9}  {o.stored:>6}  {o.exit_code:>9}  {o.kept:>4}"
                f"  {'NO' if o.complaints else 'yes':<5}  {o.seconds:>7.1f}  {o.victim}",
                *o.complaints,
                sep="\n",
                flush=True,
            )
        environment.close()
    print(
        f"{right} of {count} right: the store equals that of an undisturbed run byte for byte or, for a network that "
        "fails, a part of it"
    )
    sys.exit(right != count)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else POINTS)
