"""Bounds on the certified accuracy of a test set: against their definitions, and by weighing every outcome exactly."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from rsbench.records import FloatArray, IntArray
from rsbench.theory.accuracy_bounds import (
    bernstein_accuracy_lower,
    exact_certified_lower,
    simultaneous_certified_lower,
    wrong_certificates_quantile,
)

ALPHAS = [0.3, 0.05, 0.001]
RHOS = [0.5, 0.05, 0.001]
every_alpha = pytest.mark.parametrize("alpha", ALPHAS)
every_rho = pytest.mark.parametrize("rho", RHOS)


@cache
def binomial(n: int, p: float) -> list[Fraction]:
    """Return the probabilities of Bin(n, p)."""
    share = Fraction(p)
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


@cache
def tail(n: int, p: float, k: int) -> Fraction:
    """Return P(Bin(n, p) ≥ k)."""
    return sum(binomial(n, p)[max(k, 0) :], Fraction(0))


def reaches(probability: Fraction, rho: float) -> bool:
    """Return whether a tail is above ρ. Equality counts as above, because floats cannot distinguish the two."""
    return probability > Fraction(rho) * (1 - Fraction(1, 2**45))


def share_of(bound: Callable[[npt.ArrayLike, int, float, float], IntArray]) -> Callable[..., FloatArray]:
    """Turn a bound on a number of images into one on their share."""
    return lambda certified, images, alpha, rho: bound(certified, images, alpha, rho) / images


BOUNDS = {
    "bernstein": bernstein_accuracy_lower,
    "simultaneous": share_of(simultaneous_certified_lower),
    "exact": share_of(exact_certified_lower),
}


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 2, 7, 16])
def test_the_exact_bound_matches_its_definition(images: int, alpha: float, rho: float) -> None:
    expected = [
        next(g for g in range(y + 1) if reaches(tail(images - g, alpha, y - g), rho)) for y in range(images + 1)
    ]
    assert exact_certified_lower(np.arange(images + 1), images, alpha, rho).tolist() == expected
    # The result does not depend on the shape of the input.
    assert [int(exact_certified_lower(y, images, alpha, rho)) for y in range(images + 1)] == expected
    column = exact_certified_lower(np.arange(images + 1)[:, None], images, alpha, rho)
    assert column.shape == (images + 1, 1)
    assert column[:, 0].tolist() == expected


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 2, 7, 16])
def test_the_simultaneous_bound_matches_its_definition(images: int, alpha: float, rho: float) -> None:
    quantile = next(q for q in range(images + 1) if not reaches(tail(images, alpha, q + 1), rho))
    assert wrong_certificates_quantile(images, alpha, rho) == quantile
    certified = np.arange(images + 1)
    assert simultaneous_certified_lower(certified, images, alpha, rho).tolist() == [
        max(y - quantile, 0) for y in range(images + 1)
    ]


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 7, 500, 10_000])
def test_the_bernstein_bound_matches_its_formula_from_below(images: int, alpha: float, rho: float) -> None:
    certified = np.unique(np.linspace(0, images, 25).astype(np.int64))
    bounds = bernstein_accuracy_lower(certified, images, alpha, rho)
    with localcontext() as context:
        context.prec = 50
        a, log, m = Decimal(alpha), -Decimal(rho).ln(), Decimal(images)
        penalty = a + (2 * a * (1 - a) * log / m).sqrt() + log / (3 * m)
        for y, bound in zip(certified.tolist(), bounds.tolist(), strict=True):
            share = Decimal(y) / m
            exact = max((share - penalty) / (1 - a), Decimal(0))
            # The code lowers the bound by 2⁻⁴⁸ of the sum of both terms.
            slack = Decimal(2.0**-47) * (share + penalty) / (1 - a)
            assert exact - slack <= Decimal(bound) <= exact


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 20, 500, 10_000])
def test_the_exact_bound_is_never_below_the_other_two(images: int, alpha: float, rho: float) -> None:
    certified = np.unique(np.linspace(0, images, 501).astype(np.int64))
    exact = exact_certified_lower(certified, images, alpha, rho)
    # The simultaneous bound ignores that fewer than m images can be wrong. Bernstein's also replaces the exact tail.
    assert (exact >= simultaneous_certified_lower(certified, images, alpha, rho)).all()
    assert (exact >= images * bernstein_accuracy_lower(certified, images, alpha, rho)).all()
    assert (exact <= certified).all()
    assert (np.diff(exact) >= 0).all()


def test_bounds_for_five_hundred_images() -> None:
    # At α = ρ = 0.001, of 370 certified images, the bounds give up 2, 4 and slightly more than 5.
    assert int(exact_certified_lower(370, 500, 0.001, 0.001)) == 368
    assert int(simultaneous_certified_lower(370, 500, 0.001, 0.001)) == 366
    assert 500 * float(bernstein_accuracy_lower(370, 500, 0.001, 0.001)) == pytest.approx(364.935, abs=1e-3)
    # Checked with scipy.stats: how far below 370 the exact bound goes, and how many of 500 may be wrong.
    assert binom.sf(1, 132, 0.001) > 0.001 > binom.sf(2, 133, 0.001)
    assert binom.sf(3, 500, 0.001) > 0.001 > binom.sf(4, 500, 0.001)


def overclaims(name: str, images: int, robust: int, distribution: list[Fraction], alpha: float, rho: float) -> Fraction:
    """Return P(bound > g) for a distribution of the number of certified images."""
    bounds = BOUNDS[name](np.arange(images + 1), images, alpha, rho)
    too_high = [Fraction(float(bound)) > Fraction(float(robust / images)) for bound in bounds]
    return sum((w for w, wrong in zip(distribution, too_high, strict=True) if wrong), Fraction(0))


def certified_distribution(images: int, robust: int, alpha: float, detected: float) -> list[Fraction]:
    """Return the distribution of Y if each robust image is certified with probability `detected`, each other with α."""
    distribution = [Fraction(0)] * (images + 1)
    for right, w in enumerate(binomial(robust, detected)):
        if w:
            for wrong, v in enumerate(binomial(images - robust, alpha)):
                distribution[right + wrong] += w * v
    return distribution


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.01])
@pytest.mark.parametrize("rho", [0.3, 0.05])
def test_no_bound_overclaims_more_often_than_rho(name: str, alpha: float, rho: float) -> None:
    images = 18
    for robust in range(images + 1):
        # The worst case is that all robust images are certified. Missing some of them only lowers Y.
        for detected in (1.0, 0.75):
            distribution = certified_distribution(images, robust, alpha, detected)
            assert sum(distribution) == 1
            assert overclaims(name, images, robust, distribution, alpha, rho) <= Fraction(rho)


def test_the_plain_count_and_a_bound_of_one_image_more_overclaim() -> None:
    # This shows that the test above can fail.
    images, alpha, rho = 18, 0.05, 0.05
    plain, one_more = Fraction(0), Fraction(0)
    for robust in range(images):
        distribution = certified_distribution(images, robust, alpha, 1.0)
        bounds = exact_certified_lower(np.arange(images + 1), images, alpha, rho)
        plain = max(plain, sum(distribution[robust + 1 :], Fraction(0)))
        one_more = max(
            one_more, sum((w for w, b in zip(distribution, bounds, strict=True) if b + 1 > robust), Fraction(0))
        )
    assert plain > Fraction(1, 2)
    assert one_more > Fraction(rho)


def test_choosing_the_radius_by_the_votes_breaks_the_exact_bound_but_not_the_simultaneous_one() -> None:
    # 60 images have the true radii 1, 2, …, 60. Each certified radius is the true one, or, with probability α and
    # independently, wrong and larger than all of them. Just above radius t there are g = 60 − t robust images, and
    # Y = g + S_t, where S_t counts the wrong certificates among the first t images: a random walk in t. Choosing t by
    # the votes means looking for the t at which the walk is least likely.
    images, alpha, rho = 60, 0.05, 0.05
    certified = np.arange(images + 1)
    pointwise = exact_certified_lower(certified, images, alpha, rho)
    simultaneous = simultaneous_certified_lower(certified, images, alpha, rho)

    def overclaims_somewhere(bounds: IntArray) -> Fraction:
        share, somewhere = Fraction(alpha), Fraction(0)
        # Probability of each number of wrong certificates, on paths that have not overclaimed so far.
        probability_by_wrong = {0: Fraction(1)}
        for t in range(1, images + 1):
            after: dict[int, Fraction] = {}
            for wrong, w in probability_by_wrong.items():
                for step, v in ((0, 1 - share), (1, share)):
                    after[wrong + step] = after.get(wrong + step, Fraction(0)) + w * v
            robust = images - t
            probability_by_wrong = {wrong: w for wrong, w in after.items() if bounds[robust + wrong] <= robust}
            somewhere += sum((w for wrong, w in after.items() if wrong not in probability_by_wrong), Fraction(0))
        return somewhere

    assert overclaims_somewhere(pointwise) > 2 * Fraction(rho)
    assert overclaims_somewhere(simultaneous) <= Fraction(rho)
    # At any single radius, the exact bound holds.
    for t in range(1, images + 1):
        distribution = certified_distribution(images, images - t, alpha, 1.0)
        assert overclaims("exact", images, images - t, distribution, alpha, rho) <= Fraction(rho)


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize(("certified", "images"), [(-1, 10), (11, 10), ([5, 11], 10), (0, 0), (0, -3)])
def test_impossible_counts_are_refused(
    bound: Callable[..., FloatArray], certified: int | list[int], images: int
) -> None:
    with pytest.raises(ValueError, match=r"0\.\.m"):
        bound(certified, images, 0.05, 0.05)


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.5, float("nan")])
def test_invalid_probabilities_are_refused(bound: Callable[..., FloatArray], wrong: float) -> None:
    with pytest.raises(ValueError, match=r"α must lie in \(0, 1\)"):
        bound(3, 10, wrong, 0.05)
    with pytest.raises(ValueError, match=r"ρ must lie in \(0, 1\)"):
        bound(3, 10, 0.05, wrong)


def test_the_quantile_refuses_invalid_probabilities() -> None:
    with pytest.raises(ValueError, match="α must lie"):
        wrong_certificates_quantile(10, 0.0, 0.05)
    with pytest.raises(ValueError, match="ρ must lie"):
        wrong_certificates_quantile(10, 0.05, 1.0)
