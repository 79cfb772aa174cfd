"""A driver process on a Ray that runs, and what it says."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

from tests.fixtures.commands import wait_until

_ROOT = Path(__file__).resolve().parents[2]


class Driver:
    """`python -m` of a program. What it tells on stderr can be read while it runs."""

    def __init__(self, program: str, words: list[str], address: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", program, *words],
            cwd=_ROOT,
            env=os.environ | {"RAY_ADDRESS": address},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._lines: list[str] = []
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def number(self) -> int:
        """The process's."""
        return self._process.pid

    @property
    def told(self) -> str:
        """Its stderr so far."""
        return "".join(self._lines)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait_for(self, told: str) -> None:
        """Return once it has told something, or has ended."""
        wait_until(lambda: told in self.told or self.has_ended())

    def finish(self) -> tuple[int, str]:
        """Wait for its end: its exit code, and what it printed on stdout."""
        assert self._process.stdout is not None
        code = self._process.wait(timeout=120)
        self._reader.join()
        with self._process.stdout:
            return code, self._process.stdout.read()

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        self._process.kill()
        self._process.wait()

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                self._lines.append(line)
