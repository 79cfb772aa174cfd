"""What a job tells while it runs: its progress, running totals, and that it waits for the database.

Shapes: N images, R radii.
"""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from rsbench.errors import IncompleteError, UnavailableError
from rsbench.records import ImageColumns
from rsbench.specs import CertificationSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.metrics import holds

RADII = (0.25, 0.5, 1.0)

# Seconds to wait for a database. A server that restarts or fails over is back by then.
DATABASE_TIMEOUT = 300.0
# Seconds between two attempts: short against the restart of a server, and no load on it.
_PAUSE = 2.0

_T = TypeVar("_T")


class ProgressListener(Protocol):
    """Listens to a job."""

    def begin(self, task: str, total: int, unit: str) -> None:
        """A task of `total` units begins."""

    def advance(self, amount: int, detail: str = "") -> None:
        """Further units of the task are done: `amount` since the last call."""

    def end(self) -> None:
        """The task ends, whether it is completed or not."""

    def say(self, line: str) -> None:
        """The job has a message for the user."""


class ProgressTally:
    """Running totals of a run: the share of abstentions, and the certified accuracy at a few radii.

    They describe the images that are certified so far, and not yet the run.
    """

    def __init__(self, spec: CertificationSpec) -> None:
        self._ball = CERTIFICATES[spec.certificate].ball
        self._images = self._abstained = 0
        self._has_labels = False
        self._certified = np.zeros(len(RADII), dtype=np.int64)

    def add(self, images: ImageColumns) -> None:
        """Count further images."""
        self._images += len(images)
        self._has_labels |= bool((images.label_N >= 0).any())
        self._abstained += int((images.predicted_N < 0).sum())
        radius_N1 = images.radius_N[images.correct_N][:, None]
        self._certified += holds(radius_N1, RADII, self._ball).sum(axis=0)

    def __str__(self) -> str:
        if not self._images:
            return "no image yet"
        # In whole thousandths, so that no accuracy is rounded up and no abstention down.
        abstained = f"{-(-1000 * self._abstained // self._images) / 10:.1f} % abstained"
        if not self._has_labels:
            return abstained
        certified = [
            f"{1000 * count // self._images / 10:.1f} % at {radius:g}"
            for radius, count in zip(RADII, self._certified.tolist(), strict=True)
        ]
        return f"{abstained}, certified {', '.join(certified)}"


def retry_while_unavailable(act: Callable[[], _T], listener: ProgressListener) -> _T:
    """Return what `act` returns, after trying again for as long as the database does not answer or is locked.

    `act` must have no effect when it is repeated: whether a lost server has committed is not known.
    Raises IncompleteError when the time is over, and whatever else `act` raises at once.
    """
    began, is_waiting = time.monotonic(), False
    while True:
        try:
            result = act()
        except UnavailableError as error:
            if time.monotonic() - began >= DATABASE_TIMEOUT:
                raise IncompleteError(
                    f"the database did not answer for {DATABASE_TIMEOUT:.0f} s ({error}); the same command resumes"
                ) from error
            if not is_waiting:
                listener.say(f"waiting up to {DATABASE_TIMEOUT:.0f} s for the database ({error})")
            is_waiting = True
            time.sleep(_PAUSE)
        else:
            if is_waiting:
                listener.say("the database answers again")
            return result
