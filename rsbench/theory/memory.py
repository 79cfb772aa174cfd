"""The memory that makes data-dependent radii certificates of one classifier (Alfarra), in query order.

Where σ depends on the image, a radius says nothing of neighbours that are smoothed with another σ. The memory keeps the
balls that were promised and holds later queries to them, so that balls of different classes never meet. The guarantee
is one of the classifier *with its memory*: it depends on the order of the queries and says nothing of those before.

Shapes: M stored balls, D pixels.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from rsbench.records import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class MemoryVerdict:
    """What the classifier with its memory returns: `predicted` is None on abstention, `radius` then 0.

    `intersections`: how many stored balls of another class held the image, or were met by its ball.
    """

    predicted: int | None
    radius: float
    intersections: int


class CertificateMemory:
    """Certified balls in the order of their queries (Alfarra et al. 2022, §3.5 and algorithm 3).

    As printed, the rule that shrinks a ball asks for an empty intersection where it must ask for a non-empty one.
    """

    def __init__(self, norm: Literal["l1", "l2"]) -> None:
        if norm not in ("l1", "l2"):
            raise ValueError(f"a memory holds l1 or l2 balls, not {norm}")
        self._norm = norm
        self._stored = 0
        # Grown by doubling: the first `_stored` rows are in use.
        self._x_MD: FloatArray = np.zeros((0, 0))
        self._class_M: IntArray = np.zeros(0, dtype=np.int64)
        self._radius_M: FloatArray = np.zeros(0)

    def __len__(self) -> int:
        return self._stored

    def query(self, x_D: FloatArray, predicted: int | None, radius: float) -> MemoryVerdict:
        """The class and radius to return for an image, of which the smoothed classifier said `predicted` and `radius`.

        x_D: the image, flattened. predicted: its class, None on abstention. radius: the raw radius of an open ball,
        0 on abstention. Radii are rounded down, and whether an image lies in a ball is decided exactly.
        Raises ValueError when the radius is negative or not finite, or the image has another size or is not finite.
        """
        x_D = self._checked(x_D, predicted, radius)
        class_M, radius_M = self._class_M[: len(self)], self._radius_M[: len(self)]
        below_M, above_M = self._distances(x_D)
        inside_M = self._inside(x_D, below_M, above_M)
        intersections = 0
        if inside_M.any():
            # Balls of different classes never meet, so that all of these have one class.
            owner = int(class_M[inside_M][0])
            if owner != predicted:
                depth_M = radius_M[inside_M] - above_M[inside_M]
                radius = min(radius, max(0.0, float(_step_down(depth_M).max())))
                predicted = owner
                intersections = int(inside_M.sum())
        if predicted is None:
            return MemoryVerdict(None, 0.0, intersections)
        other_M = class_M != predicted
        room_M = np.maximum(0.0, _step_down(below_M[other_M] - radius_M[other_M]))
        intersections += int((room_M < radius).sum())
        radius = min([radius, *room_M.tolist()])
        self._store(x_D, predicted, radius)
        return MemoryVerdict(predicted, radius, intersections)

    def _checked(self, x_D: FloatArray, predicted: int | None, radius: float) -> FloatArray:
        x_D = np.asarray(x_D, dtype=np.float64)
        if x_D.ndim != 1 or not np.isfinite(x_D).all() or (len(self) and x_D.shape != self._x_MD.shape[1:]):
            raise ValueError(f"an image must be a flat, finite array of the size of those before, got {x_D.shape}")
        if predicted is not None and predicted < 0:
            raise ValueError(f"a class must not be negative, got {predicted}: an abstention is None")
        if not 0.0 <= radius < float("inf"):
            raise ValueError(f"a radius must be finite and not negative, got {radius}")
        if predicted is None and radius != 0.0:
            raise ValueError(f"an abstention has the radius 0, got {radius}")
        return x_D

    def _distances(self, x_D: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The distances from the stored centres, rounded down and rounded up."""
        if not len(self):
            return np.zeros(0), np.zeros(0)
        # A sum of D terms is off by fewer than D + 4 units in the last place,
        slack = (x_D.size + 4) * 2.0**-52
        with np.errstate(over="ignore"):
            step_MD = np.abs(self._x_MD[: len(self)] - x_D)
            total_M = (step_MD if self._norm == "l1" else step_MD**2).sum(axis=1)
            above_M = total_M * (1.0 + slack)
        # a sum that overflows is at least the largest float,
        below_M = np.minimum(total_M, np.finfo(np.float64).max) * (1.0 - slack)
        if self._norm == "l1":
            return below_M, above_M
        # and each square may lose half of the smallest float.
        lost = x_D.size * 2.0**-1074
        return np.sqrt(np.maximum(below_M - lost, 0.0)), np.sqrt(above_M + lost)

    def _inside(self, x_D: FloatArray, below_M: FloatArray, above_M: FloatArray) -> BoolArray:
        """Which open balls hold the image: in floats, and in rationals where those cannot tell."""
        radius_M = self._radius_M[: len(self)]
        inside_M: BoolArray = above_M < radius_M
        unclear_M = ~inside_M & (below_M < radius_M)
        for row in np.flatnonzero(unclear_M):
            inside_M[row] = self._exactly_inside(x_D, int(row))
        return inside_M

    def _exactly_inside(self, x_D: FloatArray, row: int) -> bool:
        steps = [abs(Fraction(a) - Fraction(b)) for a, b in zip(x_D.tolist(), self._x_MD[row].tolist(), strict=True)]
        radius = Fraction(float(self._radius_M[row]))
        return sum(steps) < radius if self._norm == "l1" else sum(step**2 for step in steps) < radius**2

    def _store(self, x_D: FloatArray, predicted: int, radius: float) -> None:
        if self._stored == len(self._class_M):
            room = max(64, 2 * self._stored)
            self._x_MD = np.resize(self._x_MD, (room, x_D.size)) if self._stored else np.zeros((room, x_D.size))
            self._class_M, self._radius_M = np.resize(self._class_M, room), np.resize(self._radius_M, room)
        self._x_MD[self._stored], self._class_M[self._stored], self._radius_M[self._stored] = x_D, predicted, radius
        self._stored += 1


def _step_down(value: FloatArray) -> FloatArray:
    return np.nextafter(value, -np.inf)
