"""How a job tells what it is doing, whoever listens."""

from typing import Protocol


class Watcher(Protocol):
    """Listens to a job."""

    def begin(self, what: str, total: int, unit: str) -> None:
        """A stretch of `total` units of work begins."""

    def advance(self, amount: int, detail: str = "") -> None:
        """That much of it is done."""

    def end(self) -> None:
        """The stretch is over, done or not."""

    def say(self, line: str) -> None:
        """Something worth a line happened."""
