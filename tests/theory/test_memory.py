"""The memory of certified balls, under adversarial queries at the borders of its balls, checked in exact integers.

Every float is an integer multiple of 2⁻¹⁰⁷⁴, so the checks compute sums and squares without rounding.

Shapes: D pixels.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.records import FloatArray
from rsbench.theory.memory import CertificateMemory, MemoryVerdict

T = TypeVar("T")
Norm = Literal["l1", "l2"]
NORMS: tuple[Norm, ...] = get_args(Norm)
every_norm = pytest.mark.parametrize("norm", NORMS)

# With both norms, 2·200·60 = 24,000 queries.
HISTORIES, QUERIES = 200, 60


def units(value: float) -> int:
    """Return a float as an integer multiple of 2⁻¹⁰⁷⁴."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * (2**1074 // denominator)


@dataclass(frozen=True)
class Ball:
    centre: tuple[int, ...]
    label: int
    radius: int


@dataclass
class Reference:
    """The four rules of the memory, evaluated exactly on the balls that the memory under test has certified so far.

    A distance in l2 is not rational, so its square is compared.
    """

    norm: Norm
    balls: list[Ball] = field(default_factory=list)

    def size(self, x: Sequence[int], y: Sequence[int]) -> int:
        """Return the distance in l1, or its square in l2."""
        steps = [abs(a - b) for a, b in zip(x, y, strict=True)]
        return sum(steps) if self.norm == "l1" else sum(step * step for step in steps)

    def power(self, length: int) -> int:
        """Return the value of `size` for two points at this distance."""
        return length if self.norm == "l1" else length * length

    def root(self, size: int) -> int:
        """Return the distance for a value of `size`, rounded down."""
        return size if self.norm == "l1" else math.isqrt(size)

    def check(
        self, x_D: FloatArray, predicted: int | None, radius: float, verdict: MemoryVerdict, loss: float | None = 16.0
    ) -> None:
        """Check one verdict: its radius must not exceed the exact one, nor be below it by more than rounding.

        loss: the largest distance that occurs, of which (D + 8)·2⁻⁵² may be lost; None to allow any loss.
        """
        x, raw, returned = tuple(map(units, x_D.tolist())), units(radius), units(verdict.radius)
        sizes = [self.size(x, ball.centre) for ball in self.balls]
        holders = [(ball, size) for ball, size in zip(self.balls, sizes, strict=True) if size < self.power(ball.radius)]
        assert len({ball.label for ball, _ in holders}) <= 1
        label, allowed = predicted, raw
        if holders and holders[0][0].label != predicted:
            label = holders[0][0].label
            # The ball around x must lie inside a stored ball that contains x.
            assert returned == 0 or any(
                returned <= ball.radius and size <= self.power(ball.radius - returned) for ball, size in holders
            )
            allowed = min(allowed, max(ball.radius - self.root(size) for ball, size in holders))
        assert verdict.predicted == label
        assert 0 <= returned <= raw
        if label is None:
            assert returned == 0
            assert verdict.intersections == 0
            return
        for ball, size in zip(self.balls, sizes, strict=True):
            if ball.label != label:
                # Open balls are disjoint if and only if their radii sum to at most the distance.
                assert self.power(returned + ball.radius) <= size
                allowed = min(allowed, max(0, self.root(size) - ball.radius))
        # A distance is rounded by up to (D + 4)·2⁻⁵² of its value, and a step or two more.
        assert loss is None or returned >= allowed - units((len(x) + 8) * 2.0**-52 * loss)
        self.balls.append(Ball(x, label, returned))


def one_ulp(value: float, direction: int) -> float:
    return value if direction == 0 else math.nextafter(value, direction * math.inf)


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    return options[int(rng.integers(len(options)))]


def adversarial(norm: Norm, seed: int) -> Iterator[tuple[FloatArray, int | None, float]]:
    """Yield queries on a coarse grid, on the borders of earlier raw balls, and one float next to these borders."""
    rng = np.random.default_rng(seed)
    dims = pick(rng, [1, 2, 2, 3])
    seen: list[tuple[list[float], float]] = []
    for _ in range(QUERIES):
        x: list[float] = (rng.integers(9, size=dims) / 8).tolist()
        radius = pick(rng, [0.0, int(rng.integers(1, 9)) / 8, int(rng.integers(1, 9)) / 16, float(rng.random()), 5.0])
        if seen:
            centre, reach = pick(rng, seen)
            aim = int(rng.integers(8))
            if aim == 0:
                # On the border of a raw ball along one axis, or one float to either side of it.
                x = list(centre)
                axis = int(rng.integers(dims))
                x[axis] = one_ulp(centre[axis] + pick(rng, [-1, 1]) * reach, pick(rng, [-1, 0, 1]))
            elif aim == 1:
                x = list(centre)
            elif aim == 2:
                # So close to an earlier centre that hardly any room is left between two balls.
                x = [one_ulp(c, pick(rng, [-1, 0, 1])) for c in centre]
            elif aim == 3:
                # A ball that touches another one, or overlaps it by one float.
                gap = [abs(a - b) for a, b in zip(x, centre, strict=True)]
                between = sum(gap) if norm == "l1" else math.hypot(*gap)
                radius = max(0.0, one_ulp(between - reach, pick(rng, [-1, 0, 1])))
        predicted = pick(rng, [None, 0, 0, 1, 1, 2])
        seen.append((x, radius))
        yield np.array(x), predicted, 0.0 if predicted is None else radius


@every_norm
def test_adversarial_queries_never_break_a_rule(norm: Norm) -> None:
    changed, shrunk, held_abstentions, stored = 0, 0, 0, 0
    for seed in range(HISTORIES):
        memory, reference = CertificateMemory(norm), Reference(norm)
        for x_D, predicted, radius in adversarial(norm, seed):
            verdict = memory.query(x_D, predicted, radius)
            reference.check(x_D, predicted, radius, verdict)
            changed += predicted is not None and verdict.predicted != predicted
            held_abstentions += predicted is None and verdict.predicted is not None
            shrunk += verdict.predicted == predicted and verdict.radius < radius
        assert len(memory) == len(reference.balls)
        stored += len(memory)
    # The queries do reach the cases that they aim at.
    assert min(changed, held_abstentions, shrunk) > 500
    assert stored > HISTORIES * QUERIES // 2


@every_norm
@given(data=st.data())
def test_extreme_floats_never_break_a_rule(norm: Norm, data: st.DataObject) -> None:
    dims = data.draw(st.integers(1, 3))
    pixel = st.sampled_from([0.0, 5e-324, 1e-170, 1e-162, 1.6e-162, 2.0**-53, 0.3, 0.5, 1.0, 1e155, 1e308, -1e308])
    length = st.sampled_from([0.0, 5e-324, 1e-170, 1e-162, 1e-161, 2.0**-53, 0.25, 0.5, 1.0, 1e155, 1.7e308])
    memory, reference = CertificateMemory(norm), Reference(norm)
    for _ in range(data.draw(st.integers(1, 8))):
        x_D = np.array(data.draw(st.lists(pixel, min_size=dims, max_size=dims)))
        predicted = data.draw(st.sampled_from([None, 0, 1]))
        radius = 0.0 if predicted is None else data.draw(length)
        # At 1e308, one float is more than any image, so any loss to rounding is allowed.
        reference.check(x_D, predicted, radius, memory.query(x_D, predicted, radius), loss=None)


@every_norm
def test_a_query_outside_all_balls_keeps_its_class_and_radius(norm: Norm) -> None:
    memory = CertificateMemory(norm)
    assert memory.query(np.array([0.0, 0.0]), 3, 0.25) == MemoryVerdict(3, 0.25, 0)
    assert memory.query(np.array([1.0, 1.0]), 5, 0.5) == MemoryVerdict(5, 0.5, 0)
    assert len(memory) == 2


@every_norm
def test_a_ball_that_intersects_another_class_shrinks_until_they_touch(norm: Norm) -> None:
    memory = CertificateMemory(norm)
    memory.query(np.array([0.0, 0.0]), 0, 0.375)
    verdict = memory.query(np.array([1.0, 0.0]), 1, 2.0)
    assert (verdict.predicted, verdict.intersections) == (1, 1)
    assert verdict.radius <= 0.625
    # Rounding takes (D + 4)·2⁻⁵² of the distance and one float.
    assert verdict.radius == pytest.approx(0.625, rel=1e-14)
    # A ball of the same class does not shrink it.
    assert memory.query(np.array([1.0, 0.25]), 1, 0.25) == MemoryVerdict(1, 0.25, 0)


@every_norm
def test_a_query_inside_a_ball_gets_its_class_and_a_radius_that_stays_inside(norm: Norm) -> None:
    memory = CertificateMemory(norm)
    memory.query(np.array([0.0, 0.0]), 0, 1.0)
    deep = memory.query(np.array([0.25, 0.0]), 1, 5.0)
    assert (deep.predicted, deep.intersections) == (0, 1)
    assert deep.radius <= 0.75
    assert deep.radius == pytest.approx(0.75, rel=1e-14)
    # The raw radius is never exceeded, even if the ball would allow more.
    assert memory.query(np.array([0.125, 0.0]), 1, 0.0625) == MemoryVerdict(0, 0.0625, 2)


@every_norm
def test_an_abstention_inside_a_ball_gets_its_class_and_one_outside_stays(norm: Norm) -> None:
    memory = CertificateMemory(norm)
    memory.query(np.array([0.0, 0.0]), 2, 0.5)
    assert memory.query(np.array([0.25, 0.0]), None, 0.0) == MemoryVerdict(2, 0.0, 1)
    assert memory.query(np.array([0.5, 0.5]), None, 0.0) == MemoryVerdict(None, 0.0, 0)
    # The first is stored with its radius of 0, the second is not.
    assert len(memory) == 2


@every_norm
def test_a_radius_of_zero_is_stored_and_limits_balls_of_other_classes(norm: Norm) -> None:
    memory = CertificateMemory(norm)
    assert memory.query(np.array([0.5]), 0, 0.0) == MemoryVerdict(0, 0.0, 0)
    assert len(memory) == 1
    verdict = memory.query(np.array([0.75]), 1, 1.0)
    assert 0.25 * (1 - 1e-14) <= verdict.radius <= 0.25
    # An empty open ball does not contain its centre: another class may be returned there, but without a radius.
    assert memory.query(np.array([0.5]), 1, 1.0) == MemoryVerdict(1, 0.0, 1)


@every_norm
def test_verdicts_depend_on_the_order_of_the_queries(norm: Norm) -> None:
    first, second = (np.array([0.0]), 0, 0.75), (np.array([1.0]), 1, 0.75)
    forwards, backwards = CertificateMemory(norm), CertificateMemory(norm)
    assert [forwards.query(*query).radius < 0.75 for query in (first, second)] == [False, True]
    assert [backwards.query(*query).radius < 0.75 for query in (second, first)] == [False, True]


# The float distances of these points are exact (for l2 by the triangle 3-4-5).
BORDERS = [("l1", (0.375, 0.5), 0.875), ("l2", (0.375, 0.5), 0.625), ("l1", (0.1, 0.0), 0.1), ("l2", (0.0, 0.3), 0.3)]


@pytest.mark.parametrize(("norm", "point", "radius"), BORDERS)
def test_the_border_of_an_open_ball_is_outside_and_one_float_closer_is_inside(
    norm: Norm, point: tuple[float, float], radius: float
) -> None:
    memory = CertificateMemory(norm)
    memory.query(np.zeros(2), 0, radius)
    x_D = np.array(point)
    assert memory.query(x_D, None, 0.0).predicted is None
    largest = int(x_D.argmax())
    x_D[largest] = math.nextafter(x_D[largest], 0.0)
    assert memory.query(x_D, None, 0.0).predicted == 0
    x_D[largest] = math.nextafter(point[largest], 1.0)
    assert memory.query(x_D, None, 0.0).predicted is None


def test_membership_is_exact_where_a_sum_of_floats_cannot_decide_it() -> None:
    # ½ + 1024·2⁻¹¹ = 1 is on the border. Reducing one pixel by 2⁻⁶³ is inside, although the float sum is still 1.
    memory = CertificateMemory("l1")
    memory.query(np.zeros(1025), 7, 1.0)
    x_D = np.array([0.5] + [2.0**-11] * 1024)
    assert memory.query(x_D, None, 0.0).predicted is None
    x_D[5] = math.nextafter(x_D[5], 0.0)
    assert float(x_D.sum()) == 1.0
    verdict = memory.query(x_D, 3, 0.5)
    assert (verdict.predicted, verdict.radius) == (7, 0.0)
    x_D[5] = math.nextafter(2.0**-11, 1.0)
    assert float(x_D.sum()) == 1.0
    assert memory.query(x_D, None, 0.0).predicted is None


@every_norm
def test_images_of_a_realistic_size_never_break_a_rule(norm: Norm) -> None:
    rng = np.random.default_rng(5)
    memory, reference = CertificateMemory(norm), Reference(norm)
    base_D = rng.random(3072)
    for step in range(40):
        x_D = np.clip(base_D + rng.normal(0, 0.004, 3072) * (rng.random(3072) < 0.2), 0.0, 1.0)
        predicted = None if step % 7 == 6 else step % 3
        radius = 0.0 if predicted is None else float(rng.random()) * (9.0 if norm == "l1" else 0.4)
        reference.check(x_D, predicted, radius, memory.query(x_D, predicted, radius))
    assert 0 < len(memory) <= 40


@every_norm
def test_no_ball_is_lost_when_the_memory_grows(norm: Norm) -> None:
    memory = CertificateMemory(norm)
    labels: list[int] = np.random.default_rng(11).integers(10, size=700).tolist()
    for position, label in enumerate(labels):
        assert memory.query(np.array([float(position), 0.0]), label, 0.25) == MemoryVerdict(label, 0.25, 0)
        assert len(memory) == position + 1
    for position in range(0, 700, 3):
        # A point well inside each ball still has its class.
        assert memory.query(np.array([position + 0.1875, 0.0]), None, 0.0).predicted == labels[position]


@every_norm
def test_the_memory_keeps_its_own_copy_of_an_image(norm: Norm) -> None:
    memory = CertificateMemory(norm)
    x_D = np.array([0.25, 0.25])
    memory.query(x_D, 4, 0.125)
    x_D[:] = 0.0
    assert memory.query(np.array([0.25, 0.25]), None, 0.0).predicted == 4
    assert memory.query(x_D, None, 0.0).predicted is None


def test_single_precision_images_are_not_rounded() -> None:
    memory = CertificateMemory("l1")
    x_D = np.array([0.1], dtype=np.float32)
    memory.query(x_D.astype(np.float64), 1, 2.0**-40)
    assert memory.query(np.asarray(x_D, dtype=np.float64), None, 0.0).predicted == 1
    # 0.1 in double precision is another point, 1.5·10⁻⁹ away.
    assert memory.query(np.array([0.1]), None, 0.0).predicted is None


BAD = [
    ([[0.0, 0.0]], 0, 0.5, "flat, finite array"),
    ([0.0, math.nan], 0, 0.5, "flat, finite array"),
    ([0.0, math.inf], 0, 0.5, "flat, finite array"),
    ([0.0, 0.0, 0.0], 0, 0.5, "size of those before"),
    ([0.0, 0.0], -1, 0.5, "class must not be negative"),
    ([0.0, 0.0], 0, -0.5, "finite and not negative"),
    ([0.0, 0.0], 0, math.nan, "finite and not negative"),
    ([0.0, 0.0], 0, math.inf, "finite and not negative"),
    ([0.0, 0.0], None, 0.5, "an abstention has the radius 0"),
]


@every_norm
@pytest.mark.parametrize(("x", "predicted", "radius", "message"), BAD)
def test_invalid_queries_are_refused_and_not_stored(
    norm: Norm, x: list[float], predicted: int | None, radius: float, message: str
) -> None:
    memory = CertificateMemory(norm)
    memory.query(np.array([0.5, 0.5]), 1, 0.25)
    with pytest.raises(ValueError, match=message):
        memory.query(np.array(x), predicted, radius)
    assert len(memory) == 1
    assert memory.query(np.array([0.5, 0.5]), 1, 0.25) == MemoryVerdict(1, 0.25, 0)
