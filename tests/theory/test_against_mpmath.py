"""Every radius and confidence bound against its formula, evaluated with sixty digits or in exact rationals.

The oracles follow the formulas of the papers and use other methods than the code: suprema by a grid and a search,
binomial tails by summing their terms. A result must never exceed its formula. It may be smaller by a relative 10⁻¹²,
plus the error that an ill-conditioned input causes, which each oracle derives.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from itertools import chain, pairwise
from typing import Any

import mpmath
import numpy as np
import pytest

from rsbench.records import FloatArray
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, SampledCertificate
from rsbench.theory.confidence import clopper_pearson_lower, clopper_pearson_upper
from rsbench.theory.confidence_extensions import randomized_lower, time_uniform_lower
from rsbench.theory.gaussian_l2 import renyi_divergence
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.uniform_l1 import smallest_overlap

# A number of mpmath, which has no type stubs.
Real = Any

MP = mpmath.MPContext()
MP.dps = 60

RELATIVE = 1e-12


def real(value: Fraction) -> Real:
    return MP.mpf(value.numerator) / value.denominator


def assert_met(measured: float, oracle: Real, slack: float = 0.0) -> None:
    """Assert that a value is not above the oracle, nor below it by more than tolerance plus slack, both relative."""
    assert measured <= oracle
    assert oracle - measured <= (RELATIVE + slack) * oracle


# ── inputs ──────────────────────────────────────────────────────────────────────────────────────────────────────────

Pair = tuple[Fraction, Fraction]


def power(random: np.random.Generator, low: float, high: float) -> Fraction:
    """Return 10^−u with u uniform between `low` and `high`."""
    return Fraction(float(10.0 ** -random.uniform(low, high)))


def binary(lower: Fraction) -> Pair:
    return lower, 1 - lower


def two_sided_anywhere(random: np.random.Generator) -> Pair:
    lower = Fraction(float(random.uniform(0.05, 0.98)))
    return lower, min(lower, 1 - lower) * Fraction(float(random.uniform(1e-3, 0.999)))


def two_sided_close(random: np.random.Generator) -> Pair:
    """Return a small pA and a pB just below it."""
    lower = power(random, 0.31, 9)
    return lower, lower * (1 - power(random, 0.1, 12))


def two_sided_near_one(random: np.random.Generator) -> Pair:
    rest = power(random, 0.5, 12)
    return 1 - rest, rest * power(random, 0.01, 9)


REGIMES: dict[str, Callable[[np.random.Generator], Pair]] = {
    "binary": lambda random: binary(Fraction(float(random.uniform(0.5, 1.0)))),
    "binary near one half": lambda random: binary(Fraction(1, 2) + power(random, 1, 17)),
    "binary near one": lambda random: binary(1 - power(random, 1, 30)),
    "two-sided": two_sided_anywhere,
    "two-sided with a small gap": two_sided_close,
    "two-sided near one": two_sided_near_one,
}
every_regime = pytest.mark.parametrize("regime", REGIMES)


def pairs(regime: str, count: int) -> Iterator[tuple[Fraction, Fraction, float]]:
    """Yield pA > pB and a scale between 0.1 and 50; every third scale is barely above ½."""
    random = np.random.default_rng(list(REGIMES).index(regime))
    for number in range(count):
        scale = float(np.exp(random.uniform(math.log(0.1), math.log(50.0))))
        if number % 3 == 0:
            scale = float(0.5 + power(random, 0.5, 16))
        yield *REGIMES[regime](random), scale


def claimed(name: str, lower: Fraction, upper: Fraction, scale: float, images: ImageFacts | None = None) -> float:
    certificate = CERTIFICATES[name]
    assert isinstance(certificate, SampledCertificate)
    return float(certificate.radius(ProbabilityBounds.exact(lower, upper), scale, images)[0])


# ── l2 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def normal_quantile(p: Real) -> Real:
    return MP.sqrt(2) * MP.erfinv(2 * p - 1)


def cohen(lower: Fraction, upper: Fraction) -> tuple[Real, float]:
    """Return the radius at σ = 1, and the relative error due to conditioning.

    A two-sided radius is half the difference of two quantiles z. Each is lowered by 2⁻⁴⁸|z| and evaluated at a
    probability that was rounded to 2⁻⁵², which moves it by 2⁻⁵²·p/φ(z).
    """
    top, runner_up = normal_quantile(real(lower)), normal_quantile(real(upper))
    if lower + upper == 1:
        return top, 0.0
    error = MP.mpf(0)
    for p, z in ((lower, top), (upper, runner_up)):
        nearest = min(real(p), 1 - real(p))
        error += abs(z) * 2.0**-47 + nearest / MP.npdf(z) * 2.0**-52
    return (top - runner_up) / 2, float(error / (top - runner_up))


@every_regime
def test_cohen(regime: str) -> None:
    for lower, upper, scale in pairs(regime, 60):
        radius, slack = cohen(lower, upper)
        assert_met(claimed("cohen", lower, upper, scale), radius * MP.mpf(scale), slack)


def peak(function: Callable[[Real], Real], low: Real, high: Real) -> Real:
    """Return the largest value of a function with one peak in an interval, by 70 trisections.

    The position is found to about 10⁻¹² of the interval. The function is flat there, so its value is off by the square.
    """
    for _ in range(70):
        third = (high - low) / 3
        if function(low + third) < function(high - third):
            low += third
        else:
            high -= third
    return function((low + high) / 2)


def supremum(function: Callable[[Real], Real], points: list[Real]) -> Real:
    """Return the largest value on a grid and between the two neighbours of the best grid point."""
    values = [function(point) for point in points]
    at = max(range(len(points)), key=values.__getitem__)
    refined = peak(function, points[max(at - 1, 0)], points[min(at + 1, len(points) - 1)])
    return max(values[at], refined)


def lecuyer(lower: Fraction, upper: Fraction) -> Real:
    """Return the radius at σ = 1."""
    top, runner_up = real(lower), real(upper)
    largest = min(MP.mpf(1), MP.log(top / runner_up) / 2)

    def radius(beta: Real) -> Real:
        margin = top - MP.exp(2 * beta) * runner_up
        if margin <= 0 or beta <= 0:
            return MP.mpf(0)
        return beta / MP.sqrt(2 * MP.log(MP.mpf(5) / 4 * (1 + MP.exp(beta)) / margin))

    return supremum(radius, [largest * step / 24 for step in range(25)])


@every_regime
def test_lecuyer(regime: str) -> None:
    for lower, upper, scale in pairs(regime, 20):
        assert_met(claimed("lecuyer", lower, upper, scale), lecuyer(lower, upper) * MP.mpf(scale))


def li_divergence(order: Real, lower: Fraction, upper: Fraction) -> Real:
    # Near α = 1 the outer power loses as many digits as 1 − α has leading zeros, and a small gap costs twice its own.
    with MP.workdps(120):
        top, runner_up, r = real(lower), real(upper), 1 - order
        mean = MP.sqrt(top * runner_up) if r == 0 else ((top**r + runner_up**r) / 2) ** (1 / r)
        return -MP.log(1 - top - runner_up + 2 * mean)


def li(lower: Fraction, upper: Fraction) -> Real:
    """Return the radius at σ = 1. The grid is equidistant in ln α."""

    def squared(log_order: Real) -> Real:
        order = MP.exp(log_order)
        return 2 / order * li_divergence(order, lower, upper)

    return MP.sqrt(supremum(squared, [MP.mpf(step) / 2 for step in range(-13, 14)]))


@every_regime
def test_li(regime: str) -> None:
    for lower, upper, scale in pairs(regime, 20):
        assert_met(claimed("li", lower, upper, scale), li(lower, upper) * MP.mpf(scale))


@pytest.mark.parametrize(
    "order",
    [0.001, 0.0017, 0.5, 0.97, 1.0 - 1e-10, 1.0 - 2.0**-53, 1.0, 1.0 + 2.0**-52, 1.0 + 5e-10, 1.3, 2.0, 50.0, 1e3],
)
def test_li_at_one_order(order: float) -> None:
    for regime in REGIMES:
        for lower, upper, _ in pairs(regime, 5):
            measured = float(renyi_divergence(ProbabilityBounds.exact(lower, upper), order)[0])
            exact = li_divergence(MP.mpf(order), lower, upper)
            assert measured <= exact
            # The best orders are near 1. Elsewhere, two large terms may cancel and lose digits.
            if 0.9 < order < 2.0:
                assert measured >= exact * (1 - MP.mpf(RELATIVE))


# ── l1, in rationals ────────────────────────────────────────────────────────────────────────────────────────────────


def lee(gap: Fraction, a: Fraction) -> Fraction:
    return a / 2 * gap


def box(gap: Fraction, a: Fraction, dims: int | None = None) -> Fraction | float:
    t = 1 - gap / 2
    if a <= 1:
        return lee(gap, a)
    m, share = 0, Fraction(1)
    while share * (1 - 1 / a) >= t:
        m, share = m + 1, share * (1 - 1 / a)
        if m == dims and share > t:
            return math.inf
    return m + a * (1 - t / share)


def box_image(gap: Fraction, a: Fraction, caps: list[Fraction]) -> Fraction | float:
    t, share, walked = 1 - gap / 2, Fraction(1), Fraction(0)
    for cap in sorted(caps, reverse=True):
        step = a * (1 - t / share)
        if step <= cap:
            return walked + step
        walked += cap
        share *= 1 - cap / a
    return math.inf


def assert_met_exactly(measured: float, oracle: Callable[[Fraction], Fraction | float], gap: Fraction) -> None:
    """Assert the same for exact oracles.

    Where the oracle is infinite, but would not be if the gap were smaller by 10⁻¹², the finite value is accepted too.
    """
    upper = lower = oracle(gap)
    if upper == math.inf:
        lower = oracle(gap * (1 - Fraction(RELATIVE)))
    assert measured <= upper
    assert measured == math.inf or Fraction(measured) >= lower * (1 - Fraction(RELATIVE))


@every_regime
def test_lee(regime: str) -> None:
    for lower, upper, scale in pairs(regime, 100):
        a = 2 * Fraction(scale)
        assert_met_exactly(claimed("lee", lower, upper, scale), partial(lee, a=a), lower - upper)


@every_regime
def test_box(regime: str) -> None:
    random = np.random.default_rng(3)
    for lower, upper, scale in pairs(regime, 60):
        for dims in (None, int(random.choice([1, 2, 3, 5, 64, 3072]))):
            measured = claimed("box", lower, upper, scale, ImageFacts(dims=dims))
            assert_met_exactly(measured, partial(box, a=2 * Fraction(scale), dims=dims), lower - upper)


@every_regime
def test_box_log(regime: str) -> None:
    for lower, upper, scale in pairs(regime, 100):
        if scale > 0.5:
            t, a = 1 - real(lower - upper) / 2, 2 * MP.mpf(scale)
            assert_met(claimed("box-log", lower, upper, scale), MP.log(t) / MP.log(1 - 1 / a))


# Values of a and m for which t = (1 − 1/a)^m is exact: here m, and whether the whole box is covered, hang on ties.
BOUNDARIES = [
    (a, m)
    for a in (Fraction(2), Fraction(4), Fraction(8), Fraction(64), Fraction(3, 2), Fraction(5), Fraction(100))
    for m in range(1, 70)
    if (1 - 1 / a) ** m >= Fraction(1, 2)
]


@pytest.mark.parametrize("deviation", [Fraction(sign, 10**digits) for sign in (0, 1, -1) for digits in (11, 15, 25)])
def test_box_at_exact_ties(deviation: Fraction) -> None:
    assert len(BOUNDARIES) > 100
    for a, m in BOUNDARIES:
        t = (1 - 1 / a) ** m * (1 + deviation)
        if t < Fraction(1, 2):
            continue
        gap, scale = 2 * (1 - t), float(a / 2)
        assert Fraction(scale) == a / 2
        lower, upper = binary((1 + gap) / 2)
        # With m pixels, the opposite corner ties, or is barely inside or outside the ball.
        for dims in (m, m + 1, m + 3, None):
            measured = claimed("box", lower, upper, scale, ImageFacts(dims=dims))
            assert_met_exactly(measured, partial(box, a=a, dims=dims), gap)
            assert dims != m or deviation != 0 or measured <= m
            if dims is not None:
                measured = claimed("box-image", lower, upper, scale, ImageFacts(caps_ND=np.ones((1, dims))))
                assert_met_exactly(measured, partial(box_image, a=a, caps=[Fraction(1)] * dims), gap)


def caps_for(kind: str, random: np.random.Generator) -> FloatArray:
    if kind == "many":
        return np.asarray(np.maximum(x := random.random(3072), 1.0 - x))
    count = int(random.integers(1, 40))
    if kind == "halves":
        return np.full(count, 0.5)
    if kind == "ones":
        return np.ones(count)
    if kind == "ties":
        return random.choice([0.5, 0.6, 0.75, 1.0], size=count)
    steps = random.integers(0, 256, size=count)
    return np.maximum(steps, 255 - steps) / 255.0


@every_regime
@pytest.mark.parametrize("kind", ["many", "halves", "ones", "ties", "grid"])
def test_box_image(kind: str, regime: str) -> None:
    random = np.random.default_rng(8)
    for lower, upper, scale in pairs(regime, 12):
        caps_D = caps_for(kind, random)
        oracle = partial(box_image, a=2 * Fraction(scale), caps=[Fraction(cap) for cap in caps_D.tolist()])
        images = ImageFacts(caps_ND=random.permutation(caps_D)[None])
        assert_met_exactly(claimed("box-image", lower, upper, scale, images), oracle, lower - upper)


@pytest.mark.parametrize("kind", ["halves", "ones", "ties", "grid"])
def test_the_smallest_overlap(kind: str) -> None:
    random = np.random.default_rng(9)
    for number in range(60):
        caps_D = caps_for(kind, random)
        # With every third λ, moving the pixel with the largest cap leaves hardly any overlap.
        half_width = float(random.uniform(0.1, 5.0))
        if number % 3 == 0:
            half_width = float(Fraction(caps_D.max()) / 2 * (1 + power(random, 1, 15)))
        remaining = Fraction(distance := float(random.uniform(0.0, 1.2) * min(caps_D.sum(), 4.0)))
        share = Fraction(1)
        for cap in sorted(map(Fraction, caps_D.tolist()), reverse=True):
            share *= max(Fraction(0), 1 - min(cap, remaining) / (2 * Fraction(half_width)))
            remaining -= min(cap, remaining)
        measured = Fraction(smallest_overlap(caps_D, distance, half_width))
        assert share * (1 - Fraction(RELATIVE)) <= measured <= share


# ── confidence ──────────────────────────────────────────────────────────────────────────────────────────────────────


def binomial_pmf(k: int, n: int, p: Real) -> Real:
    ways = MP.loggamma(n + 1) - MP.loggamma(k + 1) - MP.loggamma(n - k + 1)
    return MP.exp(ways + k * MP.log(p) + (n - k) * MP.log1p(-p))


def upper_tail(k: int, n: int, p: Real) -> Real:
    """Return P(Bin(n, p) ≥ k) for p < k/n, where the terms decrease from the first on."""
    if k == 0:
        return MP.mpf(1)
    term, odds, total = binomial_pmf(k, n, p), p / (1 - p), MP.mpf(0)
    for i in range(k, n + 1):
        total += term
        if term < total * MP.eps:
            break
        term *= odds * (n - i) / (i + 1)
    return total


def counts(seed: int, count: int, largest_n: float) -> Iterator[tuple[int, int, float]]:
    """Yield k ≥ 1 votes of n, and an α between 0.4 and 10⁻¹²."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        n = int(10 ** random.uniform(0.0, largest_n))
        near_the_end = max(1, n - int(random.integers(0, 50)))
        k = int(random.choice([1, n, near_the_end, max(1, n // 2), int(random.integers(1, n + 1))]))
        yield k, n, float(random.choice([0.001, 0.0005, float(10.0 ** -random.uniform(0.4, 12.0))]))


def tail_slack(k: int, n: int, p: Real, alpha: float) -> float:
    """Return by how much, relatively, the slack 2⁻⁵⁰·√n·(1 − ln α) of the tail moves the bound; steps may double it.

    p times the derivative of P(Bin(n, p) ≥ k) in p is k·P(Bin(n, p) = k).
    """
    slack = 2.0**-50 * math.sqrt(n) * (1.0 - math.log(alpha))
    return float(3 * slack * alpha / (k * binomial_pmf(k, n, p)))


def test_clopper_pearson_lower() -> None:
    for k, n, alpha in counts(1, 150, 6.0):
        bound = MP.mpf(float(clopper_pearson_lower(k, n, alpha)))
        assert upper_tail(k, n, bound) <= alpha
        # The tail increases in p, so the exact bound lies below `above`.
        above = bound * (1 + RELATIVE + tail_slack(k, n, bound, alpha))
        assert above >= 1 or upper_tail(k, n, above) > alpha


def test_clopper_pearson_upper() -> None:
    for missing, n, alpha in counts(2, 150, 6.0):
        bound = MP.mpf(float(clopper_pearson_upper(n - missing, n, alpha)))
        assert bound == 1 or upper_tail(missing, n, 1 - bound) <= alpha
        rest = 1 - bound
        # scipy's inverse computes 1 − p, which is rounded by 2⁻⁵³ in absolute terms.
        slack = 2.0**-52 / bound
        slack += tail_slack(missing, n, rest, alpha) * rest / bound if rest > 0 else 0.0
        assert upper_tail(missing, n, 1 - bound * (1 - RELATIVE - slack)) > alpha


def test_clopper_pearson_at_tiny_failure_probabilities() -> None:
    # Down to values for which the functions behind the bounds underflow.
    random = np.random.default_rng(3)
    for k, n, _ in counts(4, 60, 5.0):
        alpha = float(10.0 ** -random.uniform(12.0, 300.0))
        lower, upper = float(clopper_pearson_lower(k, n, alpha)), float(clopper_pearson_upper(n - k, n, alpha))
        assert lower == 0.0 or upper_tail(k, n, MP.mpf(lower)) <= alpha
        assert upper == 1.0 or upper_tail(k, n, 1 - MP.mpf(upper)) <= alpha


@pytest.mark.parametrize("alpha", [0.3, 0.44, 0.46, 0.6, 0.9])
def test_clopper_pearson_at_large_failure_probabilities(alpha: float) -> None:
    for k, n in ((1, 2), (3, 1000), (2, 10**6), (40, 10**6), (9, 10**7)):
        bound = MP.mpf(float(clopper_pearson_lower(k, n, alpha)))
        # The complementary tail is summed, because for α > ½ the bound may exceed k/n.
        fewer = sum((binomial_pmf(i, n, bound) for i in range(k)), MP.mpf(0))
        assert 1 - fewer <= alpha


def test_randomized_lower() -> None:
    random = np.random.default_rng(5)
    for k, n, alpha in counts(6, 120, 5.0):
        u = float(random.choice([0.0, 1.0, alpha, 2 * alpha, random.random(), float(10.0 ** -random.uniform(0, 6))]))
        bound = MP.mpf(float(randomized_lower(k, n, u, alpha)))
        if k == n and u <= alpha:
            assert bound == 1
            continue

        def tail(p: Real, k: int = k, n: int = n, u: float = u) -> Real:
            above = upper_tail(k + 1, n, p) if k < n else MP.mpf(0)
            return (1 - MP.mpf(u)) * above + u * upper_tail(k, n, p)

        assert bound < 1
        assert tail(bound) <= alpha
        # As for Clopper–Pearson, with the derivative of the mixture of both tails.
        slope = u * k * binomial_pmf(k, n, bound)
        slope += (1 - MP.mpf(u)) * (k + 1) * binomial_pmf(k + 1, n, bound) if k < n else 0
        slack = float(3 * 2.0**-50 * math.sqrt(n) * (1.0 - math.log(alpha)) * alpha / slope)
        above = bound * (1 + RELATIVE + slack)
        assert above >= 1 or tail(above) > alpha


def incomplete_beta(x: Real, a: Real, b: Real) -> Real:
    """Return ∫₀ˣ s^{a−1}(1−s)^{b−1} ds by a series of positive terms."""
    term, total, j = x**a * (1 - x) ** b / a, MP.mpf(0), 0
    while term > total * MP.eps:
        total += term
        term *= (a + b + j) / (a + 1 + j) * x
        j += 1
    return total


def log_evidence(k: int, n: int, p: Real) -> Real:
    """Return ln M(p), the evidence of a Beta(½,½) prior truncated to (p, 1] against p."""
    a, b = k + MP.mpf(1) / 2, n - k + MP.mpf(1) / 2
    if p > MP.mpf(1) / 2:
        evidence = incomplete_beta(1 - p, b, a)
    else:
        evidence = MP.exp(MP.loggamma(a) + MP.loggamma(b) - MP.loggamma(n + 1)) - incomplete_beta(p, a, b)
    prior = MP.pi - 2 * MP.asin(MP.sqrt(p))
    return MP.log(evidence / prior) - k * MP.log(p) - (n - k) * MP.log1p(-p)


def test_time_uniform_lower() -> None:
    # In the first three cases the bound is near 0, where it is most sensitive to rounding.
    hard = [(1, 1, 3.909330712235541e-12), (1, 1, 2.8194666790564245e-11), (1, 17, 2.9887866417358343e-12)]
    for k, n, alpha in chain(hard, counts(7, 120, 5.0)):
        bound = MP.mpf(float(time_uniform_lower(k, n, alpha)))
        target = -MP.log(MP.mpf(alpha))
        assert 0 < bound < MP.mpf(k) / n
        assert log_evidence(k, n, bound) >= target
        # The slack of ln M, 2⁻⁵⁰(1 + n·ln(1+n) + ln(1/α)), divided by p times the slope of the log-likelihood.
        slack = 3 * 2.0**-50 * (1 + n * math.log1p(n) + float(target)) * (1 - bound) / (k - n * bound)
        above = bound * (1 + RELATIVE + float(slack))
        assert above >= 1 or log_evidence(k, n, above) < target


@pytest.mark.parametrize(("k", "n"), [(1, 1), (3, 7), (90, 100), (600, 1000)])
def test_the_evidence_decreases_up_to_the_observed_frequency(k: int, n: int) -> None:
    # So the infimum in the definition of the bound is the only root.
    evidence = [log_evidence(k, n, MP.mpf(step * k) / (40 * n)) for step in range(1, 40)]
    assert all(later < earlier for earlier, later in pairwise(evidence))
    assert evidence[-1] < 0.1
