"""Progress on stderr: a bar on a terminal, and otherwise a line every few seconds."""

import sys
from collections.abc import Iterable
from time import monotonic

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

# Seconds between two lines.
_INTERVAL = 5.0


class ProgressLine:
    """A `rsbench.jobs.progress.ProgressListener` that prints."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._bar_task: TaskID | None = None
        self._task = ""
        self._unit = ""
        self._total = 0
        self._done = 0
        self._started = 0.0
        self._printed = 0.0

    def begin(self, task: str, total: int, unit: str) -> None:
        """A task of `total` units begins."""
        self._task, self._total, self._unit, self._done = task, total, unit, 0
        self._started = self._printed = monotonic()
        if not self._console.is_terminal:
            self.say(f"{task}: {total:,} {unit}")
            return
        self._bar = _DetailedProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._bar_task = self._bar.add_task(task, total=total, detail="")
        self._bar.start()

    def advance(self, amount: int, detail: str = "") -> None:
        """That many units of the task are done."""
        self._done += amount
        now = monotonic()
        seconds = max(now - self._started, 1e-9)
        speed = f"{_rate_text(self._done / seconds)} {self._unit}/s"
        detail = f"{speed}, {detail}" if detail else speed
        if self._bar is not None and self._bar_task is not None:
            self._bar.update(self._bar_task, advance=amount, detail=detail)
            return
        if now - self._printed >= _INTERVAL:
            self._printed = now
            remaining = seconds / max(1, self._done) * (self._total - self._done)
            self.say(f"{self._task}: {self._done:,}/{self._total:,} {self._unit}, ETA {remaining:.0f} s, {detail}")

    def end(self) -> None:
        """The task ends, whether it is completed or not."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        seconds = monotonic() - self._started
        self.say(f"{self._task}: {self._done:,} of {self._total:,} {self._unit} in {seconds:.1f} s")

    def say(self, line: str) -> None:
        """Print a message."""
        print(line, file=sys.stderr, flush=True)


class _DetailedProgress(Progress):
    """A bar, and below it the details, which would not fit beside it in 80 columns."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            yield Text(f"  {task.fields['detail']}", style="dim")


def _rate_text(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
