"""What the formulas say of each other: orders, limits and symmetries, for drawn probabilities, scales and images."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rsbench.records import FloatArray, IntArray
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, SampledCertificate
from rsbench.theory.deterministic_l1 import deterministic_l1_steps
from rsbench.theory.probability_bounds import ProbabilityBounds

SAMPLED = {
    name: certificate for name, certificate in CERTIFICATES.items() if isinstance(certificate, SampledCertificate)
}
every_certificate = pytest.mark.parametrize("name", SAMPLED)
# Of each of seven certificates, some with two procedures.
some_examples = settings(max_examples=40)
both_procedures = pytest.mark.parametrize("procedure", ["one-versus-rest", "top-two"])

# A radius lies below its formula by at most 10⁻¹², relatively, and never above (see test_against_mpmath). Hence, where
# one formula is never below another, its radius is never below the other's by more than that.
NEARLY = 1.0 - 1e-12

CAPS_D = np.array([1.0, 0.9, 0.75, 0.6, 0.5])
IMAGE = ImageFacts(dims=len(CAPS_D), caps_ND=CAPS_D[None])

majorities = st.floats(0.5, 1.0, exclude_min=True, exclude_max=True)
half_widths = st.floats(0.51, 50.0)
caps = st.lists(st.floats(0.5, 1.0), min_size=1, max_size=30).map(np.array)


@st.composite
def gaps(draw: st.DrawFn) -> tuple[float, float]:
    """pA > pB with pA + pB ≤ 1, and so far apart that the two-sided radius loses less than 10⁻¹³ to cancellation.

    That is 2⁻⁴⁸(|Φ⁻¹(pA)| + |Φ⁻¹(pB)|) over their difference, at most 2⁻⁴⁸·2·3.1/0.2.
    """
    lower = draw(st.floats(0.05, 0.999))
    upper = draw(st.floats(0.001, 1.0)) * min(0.8 * lower, 1.0 - lower)
    assume(upper >= 0.001)
    return lower, upper


def radius(
    name: str, lower: float, upper: float | None = None, *, scale: float = 1.0, images: ImageFacts = IMAGE
) -> float:
    bounds = ProbabilityBounds.one_versus_rest(lower) if upper is None else ProbabilityBounds.two_sided(lower, upper)
    return float(SAMPLED[name].radius(bounds, scale, images)[0])


def certified(name: str, votes_NK: IntArray, procedure: Procedure) -> FloatArray:
    """Radii of votes for class 0, whoever leads."""
    family = next(iter(CERTIFICATES[name].threat_models))
    selection_NK = np.zeros_like(votes_NK)
    verdicts = CERTIFICATES[name].certify(
        selection_NK,
        votes_NK,
        MeasureSpec(family=family, sigma=1.0),
        failure_probability=0.001,
        procedure=procedure,
        images=ImageFacts(dims=len(CAPS_D), caps_ND=np.tile(CAPS_D, (len(votes_NK), 1))),
    )
    return verdicts.radius_N


@every_certificate
@some_examples
@given(first=majorities, second=majorities)
def test_more_probability_never_costs_radius(name: str, first: float, second: float) -> None:
    less, more = sorted((first, second))
    assert radius(name, more) >= radius(name, less) * NEARLY


@every_certificate
@some_examples
@given(gap=gaps(), share=st.floats(0.0, 1.0))
def test_a_weaker_runner_up_never_costs_radius(name: str, gap: tuple[float, float], share: float) -> None:
    lower, upper = gap
    weaker = max(0.001, share * upper)
    assert radius(name, lower, weaker) >= radius(name, lower, upper) * NEARLY
    # Nor does knowing its bound at all.
    if lower > 0.5:
        assert radius(name, lower, upper) >= radius(name, lower) * NEARLY


@every_certificate
@both_procedures
@some_examples
@given(votes=st.integers(1, 500), against=st.integers(0, 500), third=st.integers(0, 50))
def test_a_vote_more_never_costs_radius_and_one_against_never_adds(
    name: str, procedure: Procedure, votes: int, against: int, third: int
) -> None:
    # The totals differ, so that these are three runs.
    fewer, now, contested = (
        float(certified(name, np.array([counts_K]), procedure)[0])
        for counts_K in ([votes - 1, against, third + 1], [votes, against, third + 1], [votes, against + 1, third + 1])
    )
    assert now >= fewer * NEARLY
    assert contested <= now / NEARLY


@every_certificate
@both_procedures
@some_examples
@given(votes=st.integers(1, 100), against=st.integers(0, 100))
def test_more_votes_of_the_same_shares_never_cost_radius(
    name: str, procedure: Procedure, votes: int, against: int
) -> None:
    few, many = (float(certified(name, factor * np.array([[votes, against]]), procedure)[0]) for factor in (1, 7))
    assert many >= few * NEARLY


@pytest.mark.parametrize("name", [name for name, known in SAMPLED.items() if known.scale == "half_width"])
@given(st.tuples(majorities, st.none()) | gaps(), half_widths, st.floats(0.0, 0.5))
@some_examples
def test_wider_noise_of_the_same_votes_never_costs_radius(
    name: str, bounds: tuple[float, float | None], half_width: float, more: float
) -> None:
    # Noise of whole numbers is up to a step wider than the law that its certificate speaks of.
    wide = half_width * (1.0 + more)
    assert radius(name, *bounds, scale=wide) >= radius(name, *bounds, scale=half_width) * NEARLY


@given(lower=majorities, sigma=st.floats(0.01, 10.0))
def test_lecuyer_is_below_li_and_li_below_cohen_where_one_bound_is_known(lower: float, sigma: float) -> None:
    lecuyer, li, cohen = (radius(name, lower, scale=sigma) for name in ("lecuyer", "li", "cohen"))
    assert 0.0 < lecuyer < li < cohen


@given(gap=gaps(), sigma=st.floats(0.01, 10.0))
def test_cohen_is_above_both_on_both_sides(gap: tuple[float, float], sigma: float) -> None:
    lecuyer, li, cohen = (radius(name, *gap, scale=sigma) for name in ("lecuyer", "li", "cohen"))
    assert 0.0 < lecuyer < cohen
    assert 0.0 < li < cohen


def test_neither_lecuyer_nor_li_is_the_better_one_where_most_of_the_probability_is_elsewhere() -> None:
    # Lecuyer's bound is of the ratio pA/pB, Li's of all probabilities together, which two small ones hardly move.
    assert radius("lecuyer", 0.0625, 0.0125) > radius("li", 0.0625, 0.0125)
    assert radius("lecuyer", 0.6, 0.3) < radius("li", 0.6, 0.3)


@given(gap=gaps(), half_width=half_widths, dims=st.integers(1, 100))
def test_the_box_is_worth_as_much_as_either_of_its_rivals(
    gap: tuple[float, float], half_width: float, dims: int
) -> None:
    lee, smooth, box, bounded = (
        radius(name, *gap, scale=half_width, images=images)
        for name, images in (
            ("lee", ImageFacts()),
            ("box-log", ImageFacts()),
            ("box", ImageFacts()),
            ("box", ImageFacts(dims=dims)),
        )
    )
    assert box >= max(lee, smooth) * NEARLY
    # Below one pixel's range the box adds nothing, and the logarithm loses.
    if lee < 1.0:
        assert box == pytest.approx(lee, rel=1e-12)
        assert smooth <= lee / NEARLY
    assert bounded in (box, math.inf)


@given(gap=gaps(), half_width=half_widths, caps_D=caps)
def test_to_look_at_the_image_never_costs_radius(
    gap: tuple[float, float], half_width: float, caps_D: FloatArray
) -> None:
    images = ImageFacts(dims=len(caps_D), caps_ND=caps_D[None])
    box, box_image = (radius(name, *gap, scale=half_width, images=images) for name in ("box", "box-image"))
    assert box_image >= box * NEARLY


@given(gap=gaps(), half_width=half_widths, dims=st.integers(1, 100))
def test_the_worst_image_is_black_or_white(gap: tuple[float, float], half_width: float, dims: int) -> None:
    images = ImageFacts(dims=dims, caps_ND=np.ones((1, dims)))
    box, box_image = (radius(name, *gap, scale=half_width, images=images) for name in ("box", "box-image"))
    # Equal infinities are approximately equal.
    assert box_image == pytest.approx(box, rel=1e-12)


@given(gap=gaps(), half_width=half_widths, caps_D=caps, data=st.data())
def test_narrower_caps_never_cost_radius_and_their_order_is_nothing(
    gap: tuple[float, float], half_width: float, caps_D: FloatArray, data: st.DataObject
) -> None:
    narrower_D = 0.5 + (caps_D - 0.5) * data.draw(st.floats(0.0, 1.0))
    order_D = np.array(data.draw(st.permutations(range(len(caps_D)))))
    wide, narrow, shuffled = (
        radius("box-image", *gap, scale=half_width, images=ImageFacts(caps_ND=caps_[None]))
        for caps_ in (caps_D, narrower_D, caps_D[order_D])
    )
    assert narrow >= wide * NEARLY
    assert shuffled == wide


@given(gap=gaps(), half_width=st.floats(0.1, 0.5))
def test_noise_no_wider_than_the_range_makes_the_box_lees(gap: tuple[float, float], half_width: float) -> None:
    lee, box = (radius(name, *gap, scale=half_width) for name in ("lee", "box"))
    assert box == lee
    assert radius("box-image", *gap, scale=half_width, images=ImageFacts(caps_ND=np.ones((1, 3)))) == pytest.approx(
        lee, rel=1e-12
    )


@given(gap=gaps(), half_width=half_widths, dims=st.integers(1, 50), more=st.integers(1, 5000))
def test_more_pixels_only_take_the_whole_box_away(
    gap: tuple[float, float], half_width: float, dims: int, more: int
) -> None:
    unbounded, few, many = (
        radius("box", *gap, scale=half_width, images=ImageFacts(dims=count)) for count in (None, dims, dims + more)
    )
    assert unbounded <= many <= few
    assert {many, few} <= {unbounded, math.inf}


@pytest.mark.parametrize("name", ["cohen", "lecuyer", "li", "lee"])
@given(gap=gaps(), scale=st.floats(0.01, 10.0), exponent=st.integers(-6, 6))
def test_on_unbounded_images_the_radius_scales_with_the_noise(
    name: str, gap: tuple[float, float], scale: float, exponent: int
) -> None:
    # By powers of two exactly: they round nothing.
    assert radius(name, *gap, scale=2.0**exponent * scale) == 2.0**exponent * radius(name, *gap, scale=scale)


@every_certificate
@some_examples
@given(lower=majorities, excess=st.floats(0.0, 1.0))
def test_one_versus_rest_is_the_two_sided_scheme_with_all_of_the_rest(name: str, lower: float, excess: float) -> None:
    # Above ½ the float 1 − pA is exact, and any larger pB is clamped to it.
    rest = 1.0 - lower
    assert radius(name, lower, rest) == radius(name, lower)
    assert radius(name, lower, rest + excess * (1.0 - rest)) == radius(name, lower)


@every_certificate
@both_procedures
@some_examples
@given(data=st.data())
def test_the_names_of_the_classes_do_not_matter(name: str, procedure: Procedure, data: st.DataObject) -> None:
    others_K = data.draw(st.lists(st.integers(0, 80), min_size=1, max_size=6))
    shuffled_K = data.draw(st.permutations(others_K))
    top = data.draw(st.integers(1, 300))
    radii = certified(name, np.array([[top, *others_K], [top, *shuffled_K]]), procedure)
    assert radii[0] == radii[1]


@given(data=st.data())
def test_the_names_of_the_classes_cost_dssn_a_step_where_ties_are_decided(data: st.DataObject) -> None:
    votes_K = np.array(data.draw(st.lists(st.integers(0, 60), min_size=2, max_size=5)))
    order_K = np.array(data.draw(st.permutations(range(len(votes_K)))))
    top_N, steps_N = deterministic_l1_steps(np.stack([votes_K, votes_K[order_K]]))
    assert votes_K[top_N[0]] == votes_K[order_K][top_N[1]] == votes_K.max()
    # To win ties is worth a vote, and two votes are a step.
    assert abs(int(steps_N[0] - steps_N[1])) <= 1
    runner_up = np.sort(votes_K)[-2]
    if (votes_K.max() - runner_up) % 2 == 1:
        assert steps_N[0] == steps_N[1]
