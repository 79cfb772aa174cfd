"""Comparison of two runs on the same images: McNemar's exact test, the paired bootstrap, Holm's correction."""

import math
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from rsbench.records import BoolArray, FloatArray
from rsbench.theory.comparison import exact_mcnemar, holm, paired_bootstrap

ALPHA = 0.05


def pairs(both: int, only_first: int, only_second: int, neither: int) -> tuple[BoolArray, BoolArray]:
    """Return which images two runs certify, given how many both, only one, or neither certifies."""
    sizes = [both, only_first, only_second, neither]
    return np.repeat([True, True, False, False], sizes), np.repeat([True, False, True, False], sizes)


@pytest.mark.parametrize("only_first", [0, 1, 3, 10, 40, 300])
@pytest.mark.parametrize("only_second", [0, 2, 5, 10, 55])
@pytest.mark.parametrize(("both", "neither"), [(0, 1), (30, 7)])
def test_mcnemar_agrees_with_statsmodels(only_first: int, only_second: int, both: int, neither: int) -> None:
    result = exact_mcnemar(*pairs(both, only_first, only_second, neither))
    oracle = mcnemar([[both, only_first], [only_second, neither]], exact=True)
    assert (result.only_first, result.only_second) == (only_first, only_second)
    # Both evaluate one binomial tail. For 355 throws, the incomplete beta function is accurate to 1e-12 even at 1e-80.
    assert result.p_value == pytest.approx(oracle.pvalue, rel=1e-11)


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (0, 6, 2 / 64), (1, 9, 22 / 1024), (4, 4, 1.0), (2, 7, 92 / 512)],
)
def test_mcnemar_examples(only_first: int, only_second: int, p_value: float) -> None:
    result = exact_mcnemar(*pairs(3, only_first, only_second, 4))
    assert (result.only_first, result.only_second) == (only_first, only_second)
    assert result.p_value == pytest.approx(p_value, rel=1e-14)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_mcnemar_depends_neither_on_the_order_of_the_images_nor_of_the_runs(
    certified: list[tuple[bool, bool]], shuffler: Random
) -> None:
    first_N, second_N = np.array(certified).T
    result, swapped = exact_mcnemar(first_N, second_N), exact_mcnemar(second_N, first_N)
    assert (swapped.only_first, swapped.only_second) == (result.only_second, result.only_first)
    assert swapped.p_value == result.p_value
    order = list(range(len(certified)))
    shuffler.shuffle(order)
    assert exact_mcnemar(first_N[order], second_N[order]) == result


def p_value_by_counts(discordant: int) -> list[float]:
    """Return McNemar's p-value for every number of images that only the first run certifies."""
    return [exact_mcnemar(*pairs(0, k, discordant - k, 1)).p_value for k in range(discordant + 1)]


@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.01])
def test_mcnemar_rejects_a_true_hypothesis_with_probability_at_most_alpha(alpha: float) -> None:
    attained = Fraction(0)
    for discordant in range(1, 61):
        # Given the number of discordant images, each is certified by either run with probability ½.
        ways = sum(math.comb(discordant, k) for k, p in enumerate(p_value_by_counts(discordant)) if p <= alpha)
        assert Fraction(ways, 2**discordant) <= Fraction(alpha)
        attained = max(attained, Fraction(ways, 2**discordant))
    # A test that never rejects would pass the assertion above.
    assert attained > Fraction(alpha) / 2


def radii(seed: int, images: int) -> tuple[FloatArray, FloatArray]:
    """Return correlated radii of two runs, with many zeros and a long tail."""
    rng = np.random.default_rng(seed)
    shared = rng.exponential(0.5, images)
    first_N = np.where(rng.random(images) < 0.7, shared + rng.normal(0.05, 0.2, images).clip(-0.2, 1.0), 0.0)
    second_N = np.where(rng.random(images) < 0.6, shared, 0.0)
    return first_N.clip(0.0), second_N


def test_the_bootstrap_is_determined_by_its_seed() -> None:
    first_N, second_N = radii(1, 300)
    assert paired_bootstrap(first_N, second_N, seed=7) == paired_bootstrap(first_N, second_N, seed=7)
    assert paired_bootstrap(first_N, second_N, seed=7) != paired_bootstrap(first_N, second_N, seed=8)


def test_the_interval_of_many_images_is_close_to_the_normal_one() -> None:
    # 5,000 images need several batches of resamples. The limits are quantiles of 1,500 nearly normal means, whose
    # standard error is 2.67/√1500 of that of the mean (see below). Allowed are five of these and a bit for skewness.
    first_N, second_N = radii(2, 5000)
    interval = paired_bootstrap(first_N, second_N, seed=3, resamples=1500)
    error = float((first_N - second_N).std()) / math.sqrt(5000)
    assert (interval.mean - interval.low) / error == pytest.approx(1.96, abs=0.4)
    assert (interval.high - interval.mean) / error == pytest.approx(1.96, abs=0.4)


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(0, 64)), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_the_interval_contains_the_mean(steps: list[tuple[int, int]], seed: int) -> None:
    # A mean of independent terms is below its expectation with probability at least 1/13 (Feige 2006), and above it
    # likewise, so both limits at 2.5 % lie on their own side. Radii in steps of 1/64 keep the sums exact.
    first_N, second_N = np.array(steps, dtype=np.float64).T / 64.0
    interval = paired_bootstrap(first_N, second_N, seed=seed, resamples=400)
    assert interval.low <= interval.mean <= interval.high
    assert interval.mean == pytest.approx(first_N.mean() - second_N.mean(), abs=1e-14)
    difference_N = first_N - second_N
    assert difference_N.min() <= interval.low
    assert interval.high <= difference_N.max()


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_agrees_with_a_second_implementation(confidence: float) -> None:
    first_N, second_N = radii(4, 200)
    resamples = 20_000
    interval = paired_bootstrap(first_N, second_N, seed=5, confidence=confidence, resamples=resamples)
    difference_N = first_N - second_N
    rng = np.random.default_rng(99)
    means = difference_N[rng.integers(200, size=(resamples, 200))].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    # A sample quantile has the standard error √(q(1−q)/B)/f, where f is the density at the quantile. The means are
    # nearly normal with standard error s/√N, so f = φ(z)/(s/√N) and the quantile's error is 0.0189·s/√N at z = 1.96 and
    # less at 1.28. The difference of two has √2 times that; allowed are five standard errors.
    tolerance = 5.0 * math.sqrt(2.0) * 0.0189 * float(difference_N.std()) / math.sqrt(200)
    assert interval.low == pytest.approx(np.quantile(means, tail), abs=tolerance)
    assert interval.high == pytest.approx(np.quantile(means, 1.0 - tail), abs=tolerance)


@given(st.integers(-64, 64), st.integers(0, 1000))
def test_shifting_the_values_shifts_the_interval(shift: int, seed: int) -> None:
    first_N, second_N = radii(6, 50)
    interval = paired_bootstrap(first_N, second_N, seed=seed, resamples=200)
    moved = paired_bootstrap(first_N + shift / 64.0, second_N, seed=seed, resamples=200)
    # The resamples are the same. Numbers below 8 are rounded by 2⁻⁵⁰, far below 1e-13.
    for name in ("low", "mean", "high"):
        assert getattr(moved, name) == pytest.approx(getattr(interval, name) + shift / 64.0, abs=1e-13)


def test_swapping_the_runs_mirrors_the_interval() -> None:
    first_N, second_N = radii(8, 120)
    interval, swapped = paired_bootstrap(first_N, second_N, seed=1), paired_bootstrap(second_N, first_N, seed=1)
    assert swapped.mean == -interval.mean
    # Quantiles between two resamples are interpolated from the other side, which rounds differently.
    assert [swapped.low, swapped.high] == pytest.approx([-interval.high, -interval.low], abs=1e-14)


def test_more_confidence_gives_a_wider_interval() -> None:
    first_N, second_N = radii(9, 200)
    narrow = paired_bootstrap(first_N, second_N, seed=2, confidence=0.8)
    wide = paired_bootstrap(first_N, second_N, seed=2, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_pairing_matters() -> None:
    # The images differ much more than the runs do, so only the paired comparison is significant.
    first_N, second_N = radii(10, 400)
    first_N = second_N + 0.01 * (1.0 + np.sin(np.arange(400)))
    paired = paired_bootstrap(first_N, second_N, seed=4)
    unpaired = paired_bootstrap(first_N, np.random.default_rng(0).permutation(second_N), seed=4)
    assert paired.low > 0.0
    assert unpaired.low < 0.0 < unpaired.high
    assert paired.mean == pytest.approx(unpaired.mean, abs=1e-13)


@pytest.mark.statistical
def test_the_interval_has_about_the_stated_coverage() -> None:
    # Differences of exponential variables with expectation 0.5. The percentile interval of 60 images covers about one
    # percent less than 95 %. With 600 repetitions the standard error is 0.9 %; four of these are 3.6 %.
    rng = np.random.default_rng(20)
    repetitions, covered = 600, 0
    for seed in range(repetitions):
        interval = paired_bootstrap(
            rng.exponential(1.0, 60), rng.exponential(0.5, 60), seed=seed, confidence=0.95, resamples=500
        )
        covered += interval.low <= 0.5 <= interval.high
    assert 0.90 < covered / repetitions < 0.986


@pytest.mark.parametrize("images", [1, 2, 30])
def test_runs_that_differ_by_a_constant_have_an_interval_of_length_zero(images: int) -> None:
    second_N = np.linspace(0.0, 1.0, images)
    interval = paired_bootstrap(second_N, second_N, seed=0)
    assert (interval.low, interval.mean, interval.high) == (0.0, 0.0, 0.0)
    interval = paired_bootstrap(np.full(images, 0.75), np.full(images, 0.5), seed=0)
    assert (interval.low, interval.mean, interval.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0, 2.0], [1.0], "the same images twice"),
        ([], [], "the same images twice"),
        ([[1.0]], [[1.0]], "the same images twice"),
        ([1.0, math.inf], [0.0, 0.0], "an infinite radius has no mean: cap the radii first"),
        ([math.inf], [math.inf], "an infinite radius has no mean"),
        ([0.0, 0.0], [0.0, math.nan], "an infinite radius has no mean"),
    ],
)
def test_the_bootstrap_refuses_invalid_values(first: list[float], second: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(np.array(first), np.array(second), seed=0)


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, float("nan")])
def test_the_bootstrap_refuses_an_invalid_confidence(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"confidence must lie in \(0, 1\)"):
        paired_bootstrap(np.array([1.0, 2.0]), np.array([0.0, 0.0]), seed=0, confidence=confidence)


@pytest.mark.parametrize("resamples", [99, 0, -5])
def test_the_bootstrap_refuses_too_few_resamples(resamples: int) -> None:
    with pytest.raises(ValueError, match="fewer than 100 resamples"):
        paired_bootstrap(np.array([1.0, 2.0]), np.array([0.0, 0.0]), seed=0, resamples=resamples)


@pytest.mark.parametrize(("first", "second"), [([True], [True, False]), ([], []), ([[True]], [[True]])])
def test_mcnemar_refuses_invalid_pairs(first: list[bool], second: list[bool]) -> None:
    with pytest.raises(ValueError, match="the same images twice"):
        exact_mcnemar(np.array(first, dtype=np.bool_), np.array(second, dtype=np.bool_))


@pytest.mark.parametrize(
    ("p_values", "corrected"),
    [
        ([], []),
        ([0.2], [0.2]),
        # Multiplied by 4, 3, 2 and 1: 0.02, 0.03, 0.04 and 0.03, but the last may not be below the one before.
        ([0.01, 0.02, 0.03, 0.005], [0.03, 0.04, 0.04, 0.02]),
        # A corrected p-value is at least that of a smaller p-value, and at most 1.
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.6, 0.001], [1.0, 1.0, 0.003]),
        ([1.0, 1.0], [1.0, 1.0]),
        ([0.0, 0.5], [0.0, 0.5]),
    ],
)
def test_holm_examples(p_values: list[float], corrected: list[float]) -> None:
    assert holm(np.array(p_values)).tolist() == pytest.approx(corrected, rel=1e-14)


@pytest.mark.parametrize("tests", [1, 2, 5, 40])
def test_holm_agrees_with_statsmodels(tests: int) -> None:
    p_value_T = np.random.default_rng(tests).beta(0.4, 2.0, tests).round(3)
    np.testing.assert_allclose(holm(p_value_T), multipletests(p_value_T, method="holm")[1], rtol=1e-15)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_holm_keeps_the_order_and_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    raw_T = np.array(p_values)
    corrected_T = holm(raw_T)
    order = np.argsort(raw_T)
    assert (np.diff(corrected_T[order]) >= 0.0).all()
    # The products may be off by a last digit.
    assert (corrected_T >= raw_T).all()
    assert (corrected_T <= np.minimum(1.0, len(raw_T) * raw_T) * (1.0 + 2.0**-50)).all()


def nested_outcomes(images: int) -> Iterator[tuple[int, int, int, int, Fraction]]:
    """Yield all ways in which discordant images split between two equal runs at two radii, with their probability.

    An image is certified by one of the runs, at both radii or only at the smaller. Yields the numbers for the first run
    at both, the first run at the smaller, the second run at both, the second run at the smaller, and the probability.
    """
    for a, b, c in product(range(images + 1), repeat=3):
        if (d := images - a - b - c) >= 0:
            ways = math.factorial(images) // math.prod(map(math.factorial, (a, b, c, d)))
            yield a, b, c, d, Fraction(ways, 4**images)


def test_holm_controls_the_error_over_two_radii_and_the_raw_p_values_do_not() -> None:
    # Two equal runs differ on 12 images. McNemar's test attains nearly α = 0.04 for 12 images, so testing at two radii
    # without a correction exceeds it.
    alpha = 0.04
    by_count = [p_value_by_counts(discordant) for discordant in range(1, 13)]
    raw, corrected, total = Fraction(0), Fraction(0), Fraction(0)
    for first_both, first_small, second_both, _, weight in nested_outcomes(12):
        at_both = first_both + second_both
        p_value_T = np.array(
            [by_count[11][first_both + first_small], by_count[at_both - 1][first_both] if at_both else 1.0]
        )
        total += weight
        raw += weight * bool((p_value_T <= alpha).any())
        corrected += weight * bool((holm(p_value_T) <= alpha).any())
    assert total == 1
    assert raw > Fraction(alpha)
    assert 0 < corrected <= Fraction(alpha)


@pytest.mark.parametrize("p_values", [[0.5, 1.5], [-0.1], [math.nan, 0.5]])
def test_holm_refuses_invalid_p_values(p_values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"a p-value must lie in \[0, 1\]"):
        holm(np.array(p_values))
