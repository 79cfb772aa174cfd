"""The memory with which data-dependent radii are certified radii of one classifier (Alfarra et al. 2022).

If σ is chosen for each image, the radius of one image says nothing about its neighbours, because they are smoothed with
another σ. The memory stores every ball that it has certified and answers later queries in accordance with them: balls
of different classes never intersect. What is certified is the classifier *together with its memory*. Its predictions
depend on the order of the queries, and nothing is guaranteed about queries made before a ball was stored.

Shapes: M stored balls, D pixel values of an image (channels × pixels).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from rsbench.records import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class MemoryVerdict:
    """Answer of the classifier with memory to one query."""

    predicted: int | None
    """The class, or None on abstention."""

    radius: float
    """The certified radius; 0 on abstention."""

    intersections: int
    """How many stored balls of another class contained the image or intersected its ball."""


class CertificateMemory:
    """Certified open balls in the order of their queries.

    norm: the norm of all balls. Raises ValueError unless it is "l1" or "l2".

    Source: Alfarra et al. 2022, section 3.5 and algorithm 3. As printed, the rule that shrinks a ball tests whether an
    intersection is empty; it must test whether it is not empty, as we do.
    """

    def __init__(self, norm: Literal["l1", "l2"]) -> None:
        if norm not in ("l1", "l2"):
            raise ValueError(f"a memory stores l1 or l2 balls, not {norm}")
        self._norm = norm
        self._stored = 0
        # The arrays grow by doubling; only the first `_stored` rows are in use.
        self._x_MD: FloatArray = np.zeros((0, 0))
        self._class_M: IntArray = np.zeros(0, dtype=np.int64)
        self._radius_M: FloatArray = np.zeros(0)

    def __len__(self) -> int:
        return self._stored

    def query(self, x_D: FloatArray, predicted: int | None, radius: float) -> MemoryVerdict:
        """Return the class and radius of an image in accordance with the stored balls, and store its ball.

        An image inside a stored ball of another class gets that ball's class, with a radius that keeps the new ball
        inside it. Otherwise the radius shrinks until the ball intersects no stored ball of another class. An
        abstention outside all balls stays one and is not stored.

        x_D: the image, flattened. predicted: the smoothed classifier's class, None on abstention.
        radius: its certified radius of an open ball, finite, 0 on abstention.
        Returned radii are rounded down; whether an image lies inside a ball is decided exactly.
        Raises ValueError when the class or radius is out of range, or the image is not finite or differs in size from
        those before.
        """
        x_D = self._checked_image(x_D, predicted, radius)
        class_M, radius_M = self._class_M[: len(self)], self._radius_M[: len(self)]
        below_M, above_M = self._distance_bounds(x_D)
        inside_M = self._contains(x_D, below_M, above_M)
        intersections = 0
        if inside_M.any():
            # Balls of different classes never intersect, so all balls that contain the image have the same class.
            ball_class = int(class_M[inside_M][0])
            if ball_class != predicted:
                depth_M = radius_M[inside_M] - above_M[inside_M]
                radius = min(radius, max(0.0, float(_previous_float(depth_M).max())))
                predicted = ball_class
                intersections = int(inside_M.sum())
        if predicted is None:
            return MemoryVerdict(None, 0.0, intersections)
        other_M = class_M != predicted
        free_M = np.maximum(0.0, _previous_float(below_M[other_M] - radius_M[other_M]))
        intersections += int((free_M < radius).sum())
        radius = min([radius, *free_M.tolist()])
        self._store(x_D, predicted, radius)
        return MemoryVerdict(predicted, radius, intersections)

    def _checked_image(self, x_D: FloatArray, predicted: int | None, radius: float) -> FloatArray:
        """Validate the arguments of a query and return the image as float64."""
        x_D = np.asarray(x_D, dtype=np.float64)
        if x_D.ndim != 1 or not np.isfinite(x_D).all() or (len(self) and x_D.shape != self._x_MD.shape[1:]):
            raise ValueError(f"an image must be a flat, finite array of the size of those before, got {x_D.shape}")
        if predicted is not None and predicted < 0:
            raise ValueError(f"a class must not be negative, got {predicted}: pass None for an abstention")
        if not 0.0 <= radius < float("inf"):
            raise ValueError(f"a radius must be finite and not negative, got {radius}")
        if predicted is None and radius != 0.0:
            raise ValueError(f"an abstention has the radius 0, got {radius}")
        return x_D

    def _distance_bounds(self, x_D: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the distance from the image to every stored centre, rounded down and rounded up."""
        if not len(self):
            return np.zeros(0), np.zeros(0)
        # A sum of D terms is off by fewer than D + 4 units in the last place.
        slack = (x_D.size + 4) * 2.0**-52
        with np.errstate(over="ignore"):
            difference_MD = np.abs(self._x_MD[: len(self)] - x_D)
            total_M = (difference_MD if self._norm == "l1" else difference_MD**2).sum(axis=1)
            above_M = total_M * (1.0 + slack)
        # A sum that overflows to infinity is still at least the largest float.
        below_M = np.minimum(total_M, np.finfo(np.float64).max) * (1.0 - slack)
        if self._norm == "l1":
            return below_M, above_M
        # Each square may have underflowed by up to half of the smallest float.
        underflow = x_D.size * 2.0**-1074
        return np.sqrt(np.maximum(below_M - underflow, 0.0)), np.sqrt(above_M + underflow)

    def _contains(self, x_D: FloatArray, below_M: FloatArray, above_M: FloatArray) -> BoolArray:
        """Return which open balls contain the image: decided in floats, and in rationals where floats cannot tell."""
        radius_M = self._radius_M[: len(self)]
        inside_M: BoolArray = above_M < radius_M
        unclear_M = ~inside_M & (below_M < radius_M)
        for row in np.flatnonzero(unclear_M):
            inside_M[row] = self._contains_exactly(x_D, int(row))
        return inside_M

    def _contains_exactly(self, x_D: FloatArray, row: int) -> bool:
        """Decide in exact arithmetic whether one stored ball contains the image."""
        steps = [abs(Fraction(a) - Fraction(b)) for a, b in zip(x_D.tolist(), self._x_MD[row].tolist(), strict=True)]
        radius = Fraction(float(self._radius_M[row]))
        return sum(steps) < radius if self._norm == "l1" else sum(step**2 for step in steps) < radius**2

    def _store(self, x_D: FloatArray, predicted: int, radius: float) -> None:
        """Append a ball, doubling the arrays when they are full."""
        if self._stored == len(self._class_M):
            capacity = max(64, 2 * self._stored)
            self._x_MD = np.resize(self._x_MD, (capacity, x_D.size)) if self._stored else np.zeros((capacity, x_D.size))
            self._class_M, self._radius_M = np.resize(self._class_M, capacity), np.resize(self._radius_M, capacity)
        self._x_MD[self._stored], self._class_M[self._stored], self._radius_M[self._stored] = x_D, predicted, radius
        self._stored += 1


def _previous_float(value: FloatArray) -> FloatArray:
    return np.nextafter(value, -np.inf)
