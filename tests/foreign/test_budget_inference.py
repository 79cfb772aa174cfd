"""n and α are inferred from the largest radii, those of unanimous images."""

from fractions import Fraction

import pytest

from rsbench.foreign.budget_inference import (
    COMMON_ALPHA,
    COMMON_N,
    Budget,
    TopRadii,
    common_budgets,
    exceeded_limit,
    fitting_budgets,
)
from rsbench.foreign.printed_radii import PrintPrecision, parse_radius
from rsbench.specs import MeasureSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from tests.foreign.sample_files import sampled_radius

FACTS = ImageFacts(q=255, dims=3072)


def printed(form: str, certificate: str, sigma: float, *radii: float) -> TopRadii:
    texts = [form.format(radius) for radius in radii]
    numbers = [number for text in texts if (number := parse_radius(text)) is not None]
    assert len(numbers) == len(texts)
    family = next(iter(CERTIFICATES[certificate].threat_models))
    intervals = tuple(map(PrintPrecision.of(numbers).interval, numbers))
    return TopRadii(texts[0], intervals, MeasureSpec(family=family, sigma=sigma))


def top_of(certificate: str, budget: Budget, sigma: float, form: str, *, fewer: tuple[int, ...] = ()) -> TopRadii:
    """Return the radii of a unanimous image and of images that miss the given numbers of votes."""
    n, alpha = budget
    radii = [sampled_radius(certificate, n - missing, n, alpha, sigma) for missing in (0, *fewer)]
    return printed(form, certificate, sigma, *radii)


def fitting(top: TopRadii, certificate: str = "cohen") -> tuple[Budget, ...]:
    return fitting_budgets(top, CERTIFICATES[certificate], FACTS, common_budgets(None, None))


@pytest.mark.parametrize("certificate", ["cohen", "lee", "li", "box"])
@pytest.mark.parametrize("sigma", [0.12, 3.5])
@pytest.mark.parametrize("form", ["{:.3}", "{:.3f}", "{!r}"])
def test_the_true_pair_fits_if_an_image_is_unanimous(certificate: str, sigma: float, form: str) -> None:
    for n in COMMON_N[::3]:
        for alpha in COMMON_ALPHA[::2]:
            top = top_of(certificate, Budget(n, alpha), sigma, form, fewer=(1, 2, 5))
            assert Budget(n, alpha) in fitting(top, certificate)
            assert exceeded_limit(top, CERTIFICATES[certificate], FACTS, Budget(n, alpha)) is None


def test_the_radii_below_the_largest_distinguish_pairs_with_equal_largest_radii() -> None:
    # α^(1/n) is the same for (n, α) and (2n, α²), so a unanimous image alone does not tell these pairs apart.
    twins = (Budget(100_000, 0.01), Budget(200_000, 0.0001))
    for budget in twins:
        assert fitting(top_of("cohen", budget, 0.5, "{!r}")) == twins
        assert fitting(top_of("cohen", budget, 0.5, "{:.3}", fewer=(1, 2, 3))) == (budget,)


def test_radii_printed_as_whole_floats_distinguish_all_pairs() -> None:
    for n in COMMON_N:
        for alpha in COMMON_ALPHA:
            assert fitting(top_of("cohen", Budget(n, alpha), 0.5, "{!r}", fewer=(1,))) == (Budget(n, alpha),)


def test_three_digits_are_enough_for_the_pair_that_the_field_uses_most() -> None:
    for sigma in (0.12, 0.25, 0.5, 1.0):
        assert fitting(top_of("cohen", Budget(100_000, 0.001), sigma, "{:.3}")) == (Budget(100_000, 0.001),)


def test_a_pair_that_fits_the_largest_radius_by_chance_is_rejected() -> None:
    # No image is unanimous, but the largest radius happens to be that of a unanimous image under other pairs.
    by_chance = 0
    for missing in range(10, 400, 5):
        n, alpha, sigma = 100_000, 0.001, 1.0
        alone = top_of("cohen", Budget(n, alpha), sigma, "{:.3}", fewer=(missing,)).intervals[1:]
        below = [sampled_radius("cohen", n - missing - 9 * i, n, alpha, sigma) for i in range(12)]
        top = printed("{:.3}", "cohen", sigma, *below)
        by_chance += bool(fitting(TopRadii(top.text, alone, top.measure)))
        assert fitting(top) == ()
    assert by_chance > 5


def test_no_pair_fits_if_no_image_is_unanimous() -> None:
    assert fitting(printed("{!r}", "cohen", 0.5, sampled_radius("cohen", 9000, 10_000, 0.001, 0.5))) == ()


def test_a_radius_that_a_budget_cannot_reach_gives_the_limit() -> None:
    top = top_of("cohen", Budget(100_000, 0.001), 0.25, "{:.3}")
    bound = exceeded_limit(top, CERTIFICATES["cohen"], FACTS, Budget(10_000, 0.001))
    assert bound == sampled_radius("cohen", 10_000, 10_000, 0.001, 0.25)
    assert top.low > Fraction(bound)


def test_a_given_n_or_alpha_is_not_searched() -> None:
    assert common_budgets(8000, None) == tuple(Budget(8000, alpha) for alpha in COMMON_ALPHA)
    assert common_budgets(8000, 0.002) == (Budget(8000, 0.002),)
    assert len(common_budgets(None, None)) == len(COMMON_N) * len(COMMON_ALPHA)


def test_nothing_is_inferred_for_a_certificate_that_looks_at_images() -> None:
    top = printed("{:.3}", "box-image", 1.0, 1.0)
    assert fitting(top, "box-image") == ()
    assert exceeded_limit(top, CERTIFICATES["box-image"], FACTS, Budget(100, 0.001)) is None
