"""Accidents that can happen to a run: how each is caused, how the affected command ends, and how it is repaired."""

import os
import resource
import signal
import sqlite3
from abc import ABC, abstractmethod
from contextlib import closing, suppress
from typing import Any, ClassVar

from ray._private.state import actors  # the public list needs Ray's dashboard

from rsbench.store.store import Store
from tests.cluster.environment import CHUNK_IMAGES, CHUNKS_IN_FLIGHT, IMAGES, Command, Driver, Environment, contents
from tests.fixtures.commands import wait_until
from tests.fixtures.faulty import with_classes, with_nan_on
from tests.fixtures.photographs import make_network, make_tree, photograph


class Accident(ABC):
    """An accident that happens to a command once some images are stored."""

    exit_code: ClassVar[int] = 0
    """Exit code of the affected command."""

    is_refused: ClassVar[bool] = False
    """Whether the affected command ends with an error of one line."""

    message: ClassVar[str] = ""
    """A part of what the affected command prints on stderr."""

    def __init__(self, environment: Environment, number: int, images: int) -> None:
        self.environment, self.number = environment, number
        # Stored images after which it happens; with 0 it happens as soon as the run is claimed.
        self.after = images
        # Images that must be stored when the affected command has ended, if that is known beforehand.
        self.min_stored = 0
        self.database = self.new_database()
        Store.create_or_open(self.database).close()
        self.command = self.new_command()

    def new_database(self) -> str:
        """Return the location of a store that does not exist yet."""
        return str(self.environment.folder / f"point{self.number}.db")

    def new_command(self) -> Command:
        checkpoint = self.environment.write_file("good.safetensors", self.environment.checkpoint.content)
        return Command.certify_digits(checkpoint)

    @abstractmethod
    def cause(self, driver: Driver) -> tuple[Driver, str]:
        """Cause the accident. Returns the driver that is affected, and a description of what was hit."""

    def repair(self) -> None:  # noqa: B027 - most accidents need no repair
        """Make it possible for the same command to succeed."""

    def ends_right(self) -> bool:
        """Whether the same command, run again, ends with the bytes of an undisturbed run."""
        return self.environment.repeat(self.command, self.database) == 0 and (
            contents(self.database) == self.environment.undisturbed(self.command)
        )


class ActorKilled(Accident):
    """SIGKILL to a worker."""

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        wait_for_workers(driver)
        for process in sorted(actor["Pid"] for actor in running_actors())[self.number % 2 :][:1]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            return driver, f"process {process}"
        return driver, "no process"


class NodeRemoved(Accident):
    """The second node disappears with all its processes."""

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        wait_for_workers(driver)
        self.environment.nodes.kill()
        return driver, "second node"

    def repair(self) -> None:
        self.environment.nodes.replace()


class DriverKilled(Accident):
    """SIGKILL to the driver."""

    exit_code = -signal.SIGKILL

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        driver.signal(signal.SIGKILL)
        return driver, f"process {driver.process_id}"


class Interrupted(Accident):
    """Ctrl-C."""

    exit_code = 130
    is_refused = True
    message = "the same command resumes"

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        driver.signal(signal.SIGINT)
        return driver, f"process {driver.process_id}"


class ServerGone(Accident):
    """The PostgreSQL server is stopped until the driver has noticed it."""

    message = "the database answers again"

    def new_database(self) -> str:
        name = f"point{self.number}"
        self.environment.server.psql(f"CREATE DATABASE {name}")
        return str(self.environment.server.get_uri().replace("/postgres?", f"/{name}?"))

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        server = self.environment.server
        server.stop()
        try:
            driver.wait_for("waiting up to")
        finally:
            server.ensure_postgres_running()
        return driver, "PostgreSQL server"


class FileLocked(Accident):
    """Another process locks the SQLite file until the driver has noticed it."""

    message = "the database answers again"

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        with closing(sqlite3.connect(self.database, timeout=30, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            driver.wait_for("waiting up to")
        return driver, "lock of the file"


class DiskFull(Accident):
    """The driver can write no more bytes to files: a limit of its process stands in for a full disk."""

    exit_code = 1
    is_refused = True
    message = "is the disk full"

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        with suppress(ProcessLookupError):
            resource.prlimit(driver.process_id, resource.RLIMIT_FSIZE, (0, 0))
        return driver, f"files of {driver.process_id}"


class PhotographDamaged(Accident):
    """The file of the last photograph is truncated before it is read."""

    exit_code = 2
    is_refused = True
    message = "cannot be decoded"

    def new_command(self) -> Command:
        tree, network = self.environment.folder / "photographs", self.environment.folder / "photographs.pt"
        if not tree.exists():
            make_tree(tree, self.environment.digits)
            make_network(network)
        # Images are read when their chunk is handed out.
        self.min_stored = IMAGES - CHUNK_IMAGES * CHUNKS_IN_FLIGHT
        self.after = min(self.after, self.min_stored - CHUNK_IMAGES)
        self._file = photograph(tree, IMAGES - 1)
        self._content = self._file.read_bytes()
        return Command.certify_photographs(tree, network)

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        self._file.write_bytes(self._content[: len(self._content) // 2])
        return driver, f"photograph {IMAGES - 1}"

    def repair(self) -> None:
        self._file.write_bytes(self._content)


class ClassesWrong(Accident):
    """After a crash, the checkpoint's file is replaced by a network of seven classes."""

    exit_code = 2
    is_refused = True
    message = "does not fit mlp with 10 classes"

    def new_command(self) -> Command:
        self._file = self.environment.write_file(f"point{self.number}.safetensors", self.environment.checkpoint.content)
        return Command.certify_digits(self._file)

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        driver.kill()
        self._file.write_bytes(with_classes(7, self.environment.checkpoint).content)
        return self.environment.start(self.command, self.database), "7 classes of 10"

    def repair(self) -> None:
        self._file.write_bytes(self.environment.checkpoint.content)


class NanReturned(Accident):
    """The network returns NaN on one image. Finished images are kept, and the run is never sealed."""

    exit_code = 2
    is_refused = True
    message = "the network returned NaN"

    def new_command(self) -> Command:
        self._image, self.after = self.after, 0
        self.min_stored = max(0, CHUNK_IMAGES * (self._image // CHUNK_IMAGES + 1 - CHUNKS_IN_FLIGHT))
        return self._command_for(self._image)

    def cause(self, driver: Driver) -> tuple[Driver, str]:
        return driver, f"votes on image {self._image}"

    def ends_right(self) -> bool:
        """Whether the same command fails again, and the stored rows are right and none belongs to the image's chunk."""
        failed = self.environment.repeat(self.command, self.database) == self.exit_code
        seal, rows = contents(self.database)
        _, all_rows = self.environment.undisturbed(self._command_for(None))
        first = self._image // CHUNK_IMAGES * CHUNK_IMAGES
        others = {row for row in all_rows if row[0] not in range(first, first + CHUNK_IMAGES)}
        return failed and seal is None and set(rows) <= others

    def _command_for(self, image: int | None) -> Command:
        network = with_nan_on(image, range(IMAGES), self.environment.digits, self.environment.checkpoint)
        return Command.certify_digits(self.environment.write_file(f"nan-on-{image}.safetensors", network.content))


def running_actors() -> list[dict[str, Any]]:
    """The voting actors that run, as Ray lists them."""
    every_actor: list[dict[str, Any]] = list(actors().values())
    return [actor for actor in every_actor if actor["ActorClassName"] == "VotingActor" and actor["State"] == "ALIVE"]


def wait_for_workers(driver: Driver) -> None:
    """Return once both workers run, or the driver has ended."""
    wait_until(lambda: len(running_actors()) == 2 or driver.has_ended())


# Points take them in this order.
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
