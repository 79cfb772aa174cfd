"""What can happen to a run: how it is brought about, how the command that meets it ends, and how it is mended."""

import os
import resource
import signal
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from typing import Any, ClassVar

from ray._private.state import actors  # the public list needs Ray's dashboard

from rsbench.store.store import Store
from tests.cluster.driver import Driver
from tests.cluster.stage import CHUNK, HELD, IMAGES, Stage, Task, contents
from tests.fixtures.commands import wait_until
from tests.fixtures.faulty import with_classes, with_nan_on
from tests.fixtures.photographs import make_network, make_tree, photograph


class Accident(ABC):
    """Happens once `after` images are stored; 0: as soon as the run is claimed.

    `exit_code`: of the command that meets it. `refuses`: whether that command says why in one line. `says`: some of
    what it tells. `least`: images that must be stored when it has ended, where that is known beforehand.
    """

    exit_code: ClassVar[int] = 0
    refuses: ClassVar[bool] = False
    says: ClassVar[str] = ""

    def __init__(self, stage: Stage, number: int, images: int) -> None:
        self.stage, self.number, self.after, self.least = stage, number, images, 0
        self.database = self.location()
        Store.create_or_open(self.database).close()
        self.task = self.new_task()

    def location(self) -> str:
        """Of its store."""
        return str(self.stage.folder / f"point{self.number}.db")

    def new_task(self) -> Task:
        return Task.of_digits(self.stage.file("good.safetensors", self.stage.checkpoint.content))

    @abstractmethod
    def strike(self, driver: Driver) -> tuple[Driver, str]:
        """Let it happen to the run of a driver. Returns the driver that meets it, and what it is that was hit."""

    def mend(self) -> None:  # noqa: B027 - most need no mending
        """Make the same command possible again."""

    def ends_right(self) -> bool:
        """Whether the same command again ends with the bytes of a run that nothing disturbed."""
        return self.stage.repeat(self.task, self.database) == 0 and (
            contents(self.database) == self.stage.undisturbed(self.task)
        )


class ActorKilled(Accident):
    """A worker, by SIGKILL."""

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        wait_for_workers(driver)
        for process in sorted(actor["Pid"] for actor in voting())[self.number % 2 :][:1]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            return driver, f"process {process}"
        return driver, "nobody"


class NodeRemoved(Accident):
    """The second node, with all its processes."""

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        wait_for_workers(driver)
        self.stage.nodes.kill()
        return driver, "second node"

    def mend(self) -> None:
        self.stage.nodes.replace()


class DriverKilled(Accident):
    """The driver, by SIGKILL."""

    exit_code = -signal.SIGKILL

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        driver.signal(signal.SIGKILL)
        return driver, f"process {driver.number}"


class Interrupted(Accident):
    """Ctrl-C."""

    exit_code = 130
    refuses = True
    says = "the same command resumes"

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        driver.signal(signal.SIGINT)
        return driver, f"process {driver.number}"


class ServerGone(Accident):
    """The PostgreSQL server, stopped until the driver has noticed it."""

    says = "the database answers again"

    def location(self) -> str:
        name = f"point{self.number}"
        self.stage.server.psql(f"CREATE DATABASE {name}")
        return str(self.stage.server.get_uri().replace("/postgres?", f"/{name}?"))

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        server = self.stage.server
        server.stop()
        try:
            driver.wait_for("waiting up to")
        finally:
            server.ensure_postgres_running()
        return driver, "PostgreSQL server"


class FileLocked(Accident):
    """A SQLite file that another process holds until the driver has noticed it."""

    says = "the database answers again"

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        with closing(sqlite3.connect(self.database, timeout=30, isolation_level=None)) as another:
            another.execute("BEGIN IMMEDIATE")
            driver.wait_for("waiting up to")
        return driver, "lock of the file"


class DiskFull(Accident):
    """No byte more for the driver's files: a limit of its process, which needs no disk of its own to fill."""

    exit_code = 1
    refuses = True
    says = "is the disk full"

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        with suppress(ProcessLookupError):
            resource.prlimit(driver.number, resource.RLIMIT_FSIZE, (0, 0))
        return driver, f"files of {driver.number}"


class PhotographDamaged(Accident):
    """The last photograph, cut off before it is read."""

    exit_code = 2
    refuses = True
    says = "cannot be decoded"

    def new_task(self) -> Task:
        tree, network = self.stage.folder / "photographs", self.stage.folder / "photographs.pt"
        if not tree.exists():
            make_tree(tree, self.stage.digits)
            make_network(network)
        # Images are read when their chunk is handed out.
        self.least = IMAGES - CHUNK * HELD
        self.after = min(self.after, self.least - CHUNK)
        self._file = photograph(tree, IMAGES - 1)
        self._content = self._file.read_bytes()
        return Task.of_photographs(tree, network)

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        self._file.write_bytes(self._content[: len(self._content) // 2])
        return driver, f"photograph {IMAGES - 1}"

    def mend(self) -> None:
        self._file.write_bytes(self._content)


class ClassesWrong(Accident):
    """The checkpoint's file, replaced by a network of seven classes after a crash."""

    exit_code = 2
    refuses = True
    says = "does not fit mlp with 10 classes"

    def new_task(self) -> Task:
        self._file = self.stage.file(f"point{self.number}.safetensors", self.stage.checkpoint.content)
        return Task.of_digits(self._file)

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        driver.kill()
        self._file.write_bytes(with_classes(7, self.stage.checkpoint).content)
        return self.stage.start(self.task, self.database), "7 classes of 10"

    def mend(self) -> None:
        self._file.write_bytes(self.stage.checkpoint.content)


class NanReturned(Accident):
    """NaN on one image. Nothing mends that: what was finished is kept, and the run is never sealed."""

    exit_code = 2
    refuses = True
    says = "the network returned NaN"

    def new_task(self) -> Task:
        self._image, self.after = self.after, 0
        self.least = max(0, CHUNK * (self._image // CHUNK + 1 - HELD))
        return self._task_of(self._image)

    def strike(self, driver: Driver) -> tuple[Driver, str]:
        return driver, f"votes on image {self._image}"

    def ends_right(self) -> bool:
        """Whether the same command fails again, and the rows are right and none is of the image's chunk."""
        failed = self.stage.repeat(self.task, self.database) == self.exit_code
        seal, rows = contents(self.database)
        _, all_rows = self.stage.undisturbed(self._task_of(None))
        first = self._image // CHUNK * CHUNK
        others = {row for row in all_rows if row[0] not in range(first, first + CHUNK)}
        return failed and seal is None and set(rows) <= others

    def _task_of(self, image: int | None) -> Task:
        network = with_nan_on(image, range(IMAGES), self.stage.digits, self.stage.checkpoint)
        return Task.of_digits(self.stage.file(f"nan-on-{image}.safetensors", network.content))


def voting() -> list[dict[str, Any]]:
    """The voting actors that run, by Ray's own account."""
    found: list[dict[str, Any]] = list(actors().values())
    return [actor for actor in found if actor["ActorClassName"] == "VotingActor" and actor["State"] == "ALIVE"]


def wait_for_workers(driver: Driver) -> None:
    """Return once both run, or the driver has ended."""
    wait_until(lambda: len(voting()) == 2 or driver.has_ended())


# The order in which points take them.
ACCIDENTS: dict[str, type[Accident]] = {
    "node": NodeRemoved,
    "disk": DiskFull,
    "photograph": PhotographDamaged,
    "nan": NanReturned,
    "actor": ActorKilled,
    "server": ServerGone,
    "driver": DriverKilled,
    "ctrl-c": Interrupted,
    "lock": FileLocked,
    "classes": ClassesWrong,
}
