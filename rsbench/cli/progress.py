"""Progress on stderr: a live bar with an estimate where there is a terminal, a log line now and then where not."""

import sys
from time import monotonic

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

# Seconds between two log lines.
_QUIET = 5.0


class ProgressLine:
    """A `rsbench.jobs.progress.ProgressListener` that tells the user."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._task_text = ""
        self._unit = ""
        self._total = 0
        self._done = 0
        self._started = 0.0
        self._spoke = 0.0

    def begin(self, task: str, total: int, unit: str) -> None:
        """Show that a task of `total` units begins."""
        self._task_text, self._total, self._unit, self._done = task, total, unit, 0
        self._started = self._spoke = monotonic()
        if not self._console.is_terminal:
            self.say(f"{task}: {total:,} {unit}")
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[detail]}"),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(task, total=total, detail="")
        self._bar.start()

    def advance(self, amount: int, detail: str = "") -> None:
        """Show that further units of the task are done."""
        self._done += amount
        now = monotonic()
        seconds = max(now - self._started, 1e-9)
        speed = f"{_rate_text(self._done / seconds)} {self._unit}/s"
        detail = f"{speed}, {detail}" if detail else speed
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=amount, detail=detail)
            return
        if now - self._spoke >= _QUIET:
            self._spoke = now
            remaining = seconds / max(1, self._done) * (self._total - self._done)
            self.say(f"{self._task_text}: {self._done:,}/{self._total:,} {self._unit}, ETA {remaining:.0f} s, {detail}")

    def end(self) -> None:
        """Report how much of the task is done, and how long it took."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        seconds = monotonic() - self._started
        self.say(f"{self._task_text}: {self._done:,} of {self._total:,} {self._unit} in {seconds:.1f} s")

    def say(self, line: str) -> None:
        """Print a message."""
        print(line, file=sys.stderr, flush=True)


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
