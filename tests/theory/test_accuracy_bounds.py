"""The bounds on the certified accuracy of a test set: by their definitions, and by weighing every outcome."""

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
    """The law of Bin(n, p)."""
    share = Fraction(p)
    return [math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(n + 1)]


@cache
def tail(n: int, p: float, k: int) -> Fraction:
    """P(Bin(n, p) ≥ k)."""
    return sum(binomial(n, p)[max(k, 0) :], Fraction(0))


def reaches(probability: Fraction, rho: float) -> bool:
    """Whether a tail is above ρ; one that equals ρ, as at α = ρ, counts as above, for a float cannot tell."""
    return probability > Fraction(rho) * (1 - Fraction(1, 2**45))


def share_of(bound: Callable[[npt.ArrayLike, int, float, float], IntArray]) -> Callable[..., FloatArray]:
    """A bound on a number of images as one on their share."""
    return lambda certified, images, alpha, rho: bound(certified, images, alpha, rho) / images


BOUNDS = {
    "bernstein": bernstein_accuracy_lower,
    "simultaneous": share_of(simultaneous_certified_lower),
    "exact": share_of(exact_certified_lower),
}


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 2, 7, 16])
def test_the_exact_bound_is_its_definition(images: int, alpha: float, rho: float) -> None:
    expected = [
        next(g for g in range(y + 1) if reaches(tail(images - g, alpha, y - g), rho)) for y in range(images + 1)
    ]
    assert exact_certified_lower(np.arange(images + 1), images, alpha, rho).tolist() == expected
    # One count at a time, or in another shape, it says the same.
    assert [int(exact_certified_lower(y, images, alpha, rho)) for y in range(images + 1)] == expected
    column = exact_certified_lower(np.arange(images + 1)[:, None], images, alpha, rho)
    assert column.shape == (images + 1, 1)
    assert column[:, 0].tolist() == expected


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 2, 7, 16])
def test_the_simultaneous_bound_is_its_definition(images: int, alpha: float, rho: float) -> None:
    quantile = next(q for q in range(images + 1) if not reaches(tail(images, alpha, q + 1), rho))
    assert wrong_certificates_quantile(images, alpha, rho) == quantile
    certified = np.arange(images + 1)
    assert simultaneous_certified_lower(certified, images, alpha, rho).tolist() == [
        max(y - quantile, 0) for y in range(images + 1)
    ]


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 7, 500, 10_000])
def test_the_bernstein_bound_is_its_formula_and_never_above(images: int, alpha: float, rho: float) -> None:
    certified = np.unique(np.linspace(0, images, 25).astype(np.int64))
    bounds = bernstein_accuracy_lower(certified, images, alpha, rho)
    with localcontext() as context:
        context.prec = 50
        a, log, m = Decimal(alpha), -Decimal(rho).ln(), Decimal(images)
        lost = a + (2 * a * (1 - a) * log / m).sqrt() + log / (3 * m)
        for y, bound in zip(certified.tolist(), bounds.tolist(), strict=True):
            share = Decimal(y) / m
            exact = max((share - lost) / (1 - a), Decimal(0))
            # Lowered by 2⁻⁴⁸ of both terms.
            slack = Decimal(2.0**-47) * (share + lost) / (1 - a)
            assert exact - slack <= Decimal(bound) <= exact


@every_alpha
@every_rho
@pytest.mark.parametrize("images", [1, 20, 500, 10_000])
def test_the_exact_bound_is_never_below_the_other_two(images: int, alpha: float, rho: float) -> None:
    certified = np.unique(np.linspace(0, images, 501).astype(np.int64))
    exact = exact_certified_lower(certified, images, alpha, rho)
    # Fewer images than m can be wrong, which the first ignores; the second also replaces a tail by an inequality.
    assert (exact >= simultaneous_certified_lower(certified, images, alpha, rho)).all()
    assert (exact >= images * bernstein_accuracy_lower(certified, images, alpha, rho)).all()
    assert (exact <= certified).all()
    assert (np.diff(exact) >= 0).all()


def test_what_the_bounds_cost_five_hundred_images() -> None:
    # At α = ρ = 0.001 of 370 certified images: 2, 4 and a little over 5 are given up.
    assert int(exact_certified_lower(370, 500, 0.001, 0.001)) == 368
    assert int(simultaneous_certified_lower(370, 500, 0.001, 0.001)) == 366
    assert 500 * float(bernstein_accuracy_lower(370, 500, 0.001, 0.001)) == pytest.approx(364.935, abs=1e-3)
    # By another library: how far one may go down from 370, and how many of 500 may be wrong.
    assert binom.sf(1, 132, 0.001) > 0.001 > binom.sf(2, 133, 0.001)
    assert binom.sf(3, 500, 0.001) > 0.001 > binom.sf(4, 500, 0.001)


def overclaims(name: str, images: int, robust: int, law: list[Fraction], alpha: float, rho: float) -> Fraction:
    """P(bound > g), for a law of how many images are certified."""
    bounds = BOUNDS[name](np.arange(images + 1), images, alpha, rho)
    too_high = [Fraction(float(bound)) > Fraction(float(robust / images)) for bound in bounds]
    return sum((w for w, wrong in zip(law, too_high, strict=True) if wrong), Fraction(0))


def certified_law(images: int, robust: int, alpha: float, found: float) -> list[Fraction]:
    """The law of Y when each robust image is certified with probability `found`, and each other one with α."""
    law = [Fraction(0)] * (images + 1)
    for right, w in enumerate(binomial(robust, found)):
        if w:
            for wrong, v in enumerate(binomial(images - robust, alpha)):
                law[right + wrong] += w * v
    return law


@pytest.mark.parametrize("name", BOUNDS)
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.01])
@pytest.mark.parametrize("rho", [0.3, 0.05])
def test_no_bound_overclaims_more_often_than_rho(name: str, alpha: float, rho: float) -> None:
    images = 18
    for robust in range(images + 1):
        # All robust images certified is the worst; some of them missed only lowers what is counted.
        for found in (1.0, 0.75):
            law = certified_law(images, robust, alpha, found)
            assert sum(law) == 1
            assert overclaims(name, images, robust, law, alpha, rho) <= Fraction(rho)


def test_the_plain_count_overclaims_and_so_would_one_image_more() -> None:
    # The guard of the test above.
    images, alpha, rho = 18, 0.05, 0.05
    plain, one_more = Fraction(0), Fraction(0)
    for robust in range(images):
        law = certified_law(images, robust, alpha, 1.0)
        bounds = exact_certified_lower(np.arange(images + 1), images, alpha, rho)
        plain = max(plain, sum(law[robust + 1 :], Fraction(0)))
        one_more = max(one_more, sum((w for w, b in zip(law, bounds, strict=True) if b + 1 > robust), Fraction(0)))
    assert plain > Fraction(1, 2)
    assert one_more > Fraction(rho)


def test_picking_the_best_radius_breaks_the_exact_bound_and_not_the_simultaneous_one() -> None:
    # 60 images with true radii 1, 2, …, 60, all certified to exactly there, but for wrong certificates (probability α
    # each, independently) that reach beyond every radius. Just above radius t there are g = 60 − t truly robust images,
    # and Y = g + S_t with S_t the wrong certificates among the first t: a random walk in t. Whoever picks t by the
    # votes looks for the t at which the walk is most unlikely.
    images, alpha, rho = 60, 0.05, 0.05
    certified = np.arange(images + 1)
    pointwise = exact_certified_lower(certified, images, alpha, rho)
    simultaneous = simultaneous_certified_lower(certified, images, alpha, rho)

    def overclaims_somewhere(bounds: IntArray) -> Fraction:
        share, somewhere = Fraction(alpha), Fraction(0)
        never = {0: Fraction(1)}
        for t in range(1, images + 1):
            after: dict[int, Fraction] = {}
            for wrong, w in never.items():
                for step, v in ((0, 1 - share), (1, share)):
                    after[wrong + step] = after.get(wrong + step, Fraction(0)) + w * v
            robust = images - t
            never = {wrong: w for wrong, w in after.items() if bounds[robust + wrong] <= robust}
            somewhere += sum((w for wrong, w in after.items() if wrong not in never), Fraction(0))
        return somewhere

    assert overclaims_somewhere(pointwise) > 2 * Fraction(rho)
    assert overclaims_somewhere(simultaneous) <= Fraction(rho)
    # At each radius by itself the pointwise bound holds.
    for t in range(1, images + 1):
        law = certified_law(images, images - t, alpha, 1.0)
        assert overclaims("exact", images, images - t, law, alpha, rho) <= Fraction(rho)


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize(("certified", "images"), [(-1, 10), (11, 10), ([5, 11], 10), (0, 0), (0, -3)])
def test_impossible_counts_are_refused(
    bound: Callable[..., FloatArray], certified: int | list[int], images: int
) -> None:
    with pytest.raises(ValueError, match=r"0\.\.m"):
        bound(certified, images, 0.05, 0.05)


@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.5, float("nan")])
def test_what_is_no_probability_is_refused(bound: Callable[..., FloatArray], wrong: float) -> None:
    with pytest.raises(ValueError, match=r"α must lie in \(0, 1\)"):
        bound(3, 10, wrong, 0.05)
    with pytest.raises(ValueError, match=r"ρ must lie in \(0, 1\)"):
        bound(3, 10, 0.05, wrong)


def test_the_quantile_refuses_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="α must lie"):
        wrong_certificates_quantile(10, 0.0, 0.05)
    with pytest.raises(ValueError, match="ρ must lie"):
        wrong_certificates_quantile(10, 0.05, 1.0)
