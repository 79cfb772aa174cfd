"""Relations between the certificates: orders, limits and symmetries, for random probabilities, scales and images."""

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
# Fewer than the default, because there are seven certificates, some with two procedures.
some_examples = settings(max_examples=40)
both_procedures = pytest.mark.parametrize("procedure", ["one-versus-rest", "top-two"])

# A computed radius is never above its formula, and below it by at most a relative 10⁻¹² (see test_against_mpmath). So
# if one formula is never below another, its computed radius may be below the other's by at most that.
NEARLY = 1.0 - 1e-12

CAPS_D = np.array([1.0, 0.9, 0.75, 0.6, 0.5])
IMAGE = ImageFacts(dims=len(CAPS_D), caps_ND=CAPS_D[None])

majorities = st.floats(0.5, 1.0, exclude_min=True, exclude_max=True)
half_widths = st.floats(0.51, 50.0)
caps = st.lists(st.floats(0.5, 1.0), min_size=1, max_size=30).map(np.array)


@st.composite
def gaps(draw: st.DrawFn) -> tuple[float, float]:
    """Draw pA > pB with pA + pB ≤ 1, so far apart that the two-sided radius loses less than 10⁻¹³ to cancellation.

    The loss is 2⁻⁴⁸(|Φ⁻¹(pA)| + |Φ⁻¹(pB)|) divided by their difference, at most 2⁻⁴⁸·2·3.1/0.2.
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
    """Return the radii of votes with class 0 selected, even if another class leads."""
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
def test_radius_never_decreases_in_pA(name: str, first: float, second: float) -> None:
    less, more = sorted((first, second))
    assert radius(name, more) >= radius(name, less) * NEARLY


@every_certificate
@some_examples
@given(gap=gaps(), share=st.floats(0.0, 1.0))
def test_radius_never_decreases_for_a_weaker_runner_up(name: str, gap: tuple[float, float], share: float) -> None:
    lower, upper = gap
    weaker = max(0.001, share * upper)
    assert radius(name, lower, weaker) >= radius(name, lower, upper) * NEARLY
    # Nor is it smaller than without a bound on pB.
    if lower > 0.5:
        assert radius(name, lower, upper) >= radius(name, lower) * NEARLY


@every_certificate
@both_procedures
@some_examples
@given(votes=st.integers(1, 500), against=st.integers(0, 500), third=st.integers(0, 50))
def test_radius_never_decreases_with_a_vote_for_the_class_nor_increases_with_one_against(
    name: str, procedure: Procedure, votes: int, against: int, third: int
) -> None:
    # The totals differ, so these are three calls.
    fewer, reference, contested = (
        float(certified(name, np.array([counts_K]), procedure)[0])
        for counts_K in ([votes - 1, against, third + 1], [votes, against, third + 1], [votes, against + 1, third + 1])
    )
    assert reference >= fewer * NEARLY
    assert contested <= reference / NEARLY


@every_certificate
@both_procedures
@some_examples
@given(votes=st.integers(1, 100), against=st.integers(0, 100))
def test_radius_never_decreases_with_n_at_the_same_frequencies(
    name: str, procedure: Procedure, votes: int, against: int
) -> None:
    few, many = (float(certified(name, factor * np.array([[votes, against]]), procedure)[0]) for factor in (1, 7))
    assert many >= few * NEARLY


@pytest.mark.parametrize("name", [name for name, certificate in SAMPLED.items() if certificate.scale == "half_width"])
@given(st.tuples(majorities, st.none()) | gaps(), half_widths, st.floats(0.0, 0.5))
@some_examples
def test_radius_never_decreases_with_the_half_width_for_the_same_votes(
    name: str, bounds: tuple[float, float | None], half_width: float, more: float
) -> None:
    # Integer noise is up to one step wider than the half-width that its certificate uses, which relies on this.
    wide = half_width * (1.0 + more)
    assert radius(name, *bounds, scale=wide) >= radius(name, *bounds, scale=half_width) * NEARLY


@given(lower=majorities, sigma=st.floats(0.01, 10.0))
def test_lecuyer_is_below_li_and_li_below_cohen_for_one_versus_rest(lower: float, sigma: float) -> None:
    lecuyer, li, cohen = (radius(name, lower, scale=sigma) for name in ("lecuyer", "li", "cohen"))
    assert 0.0 < lecuyer < li < cohen


@given(gap=gaps(), sigma=st.floats(0.01, 10.0))
def test_cohen_is_above_lecuyer_and_li_for_two_sided_bounds(gap: tuple[float, float], sigma: float) -> None:
    lecuyer, li, cohen = (radius(name, *gap, scale=sigma) for name in ("lecuyer", "li", "cohen"))
    assert 0.0 < lecuyer < cohen
    assert 0.0 < li < cohen


def test_neither_lecuyer_nor_li_is_always_larger_for_two_sided_bounds() -> None:
    # Lecuyer's radius depends on the ratio pA/pB, Li's on all probabilities, where two small ones matter little.
    assert radius("lecuyer", 0.0625, 0.0125) > radius("li", 0.0625, 0.0125)
    assert radius("lecuyer", 0.6, 0.3) < radius("li", 0.6, 0.3)


@given(gap=gaps(), half_width=half_widths, dims=st.integers(1, 100))
def test_box_is_never_below_lee_nor_box_log(gap: tuple[float, float], half_width: float, dims: int) -> None:
    lee, box_log, box, box_with_dims = (
        radius(name, *gap, scale=half_width, images=images)
        for name, images in (
            ("lee", ImageFacts()),
            ("box-log", ImageFacts()),
            ("box", ImageFacts()),
            ("box", ImageFacts(dims=dims)),
        )
    )
    assert box >= max(lee, box_log) * NEARLY
    # Below one pixel's range, box equals lee and box-log is smaller.
    if lee < 1.0:
        assert box == pytest.approx(lee, rel=1e-12)
        assert box_log <= lee / NEARLY
    assert box_with_dims in (box, math.inf)


@given(gap=gaps(), half_width=half_widths, caps_D=caps)
def test_box_image_is_never_below_box(gap: tuple[float, float], half_width: float, caps_D: FloatArray) -> None:
    images = ImageFacts(dims=len(caps_D), caps_ND=caps_D[None])
    box, box_image = (radius(name, *gap, scale=half_width, images=images) for name in ("box", "box-image"))
    assert box_image >= box * NEARLY


@given(gap=gaps(), half_width=half_widths, dims=st.integers(1, 100))
def test_box_image_equals_box_for_a_black_or_white_image(
    gap: tuple[float, float], half_width: float, dims: int
) -> None:
    images = ImageFacts(dims=dims, caps_ND=np.ones((1, dims)))
    box, box_image = (radius(name, *gap, scale=half_width, images=images) for name in ("box", "box-image"))
    # pytest.approx treats equal infinities as equal.
    assert box_image == pytest.approx(box, rel=1e-12)


@given(gap=gaps(), half_width=half_widths, caps_D=caps, data=st.data())
def test_radius_never_decreases_for_smaller_caps_and_ignores_their_order(
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
def test_box_equals_lee_if_the_noise_is_not_wider_than_the_pixel_range(
    gap: tuple[float, float], half_width: float
) -> None:
    lee, box = (radius(name, *gap, scale=half_width) for name in ("lee", "box"))
    assert box == lee
    assert radius("box-image", *gap, scale=half_width, images=ImageFacts(caps_ND=np.ones((1, 3)))) == pytest.approx(
        lee, rel=1e-12
    )


@given(gap=gaps(), half_width=half_widths, dims=st.integers(1, 50), more=st.integers(1, 5000))
def test_more_pixels_only_change_whether_the_whole_box_is_covered(
    gap: tuple[float, float], half_width: float, dims: int, more: int
) -> None:
    without_dims, few, many = (
        radius("box", *gap, scale=half_width, images=ImageFacts(dims=count)) for count in (None, dims, dims + more)
    )
    assert without_dims <= many <= few
    assert {many, few} <= {without_dims, math.inf}


@pytest.mark.parametrize("name", ["cohen", "lecuyer", "li", "lee"])
@given(gap=gaps(), scale=st.floats(0.01, 10.0), exponent=st.integers(-6, 6))
def test_the_radius_scales_with_the_noise_on_unbounded_images(
    name: str, gap: tuple[float, float], scale: float, exponent: int
) -> None:
    # Multiplying by powers of two does not round, so the scaling is exact.
    assert radius(name, *gap, scale=2.0**exponent * scale) == 2.0**exponent * radius(name, *gap, scale=scale)


@every_certificate
@some_examples
@given(lower=majorities, excess=st.floats(0.0, 1.0))
def test_one_versus_rest_equals_two_sided_bounds_with_pB_of_one_minus_pA(
    name: str, lower: float, excess: float
) -> None:
    # For pA > ½ the float 1 − pA is exact, and any larger pB is clamped to it.
    rest = 1.0 - lower
    assert radius(name, lower, rest) == radius(name, lower)
    assert radius(name, lower, rest + excess * (1.0 - rest)) == radius(name, lower)


@every_certificate
@both_procedures
@some_examples
@given(data=st.data())
def test_the_order_of_the_other_classes_does_not_matter(name: str, procedure: Procedure, data: st.DataObject) -> None:
    others_K = data.draw(st.lists(st.integers(0, 80), min_size=1, max_size=6))
    shuffled_K = data.draw(st.permutations(others_K))
    top = data.draw(st.integers(1, 300))
    radii = certified(name, np.array([[top, *others_K], [top, *shuffled_K]]), procedure)
    assert radii[0] == radii[1]


@given(data=st.data())
def test_the_order_of_the_classes_changes_the_radius_of_dssn_by_at_most_one_step(data: st.DataObject) -> None:
    votes_K = np.array(data.draw(st.lists(st.integers(0, 60), min_size=2, max_size=5)))
    order_K = np.array(data.draw(st.permutations(range(len(votes_K)))))
    top_N, steps_N = deterministic_l1_steps(np.stack([votes_K, votes_K[order_K]]))
    assert votes_K[top_N[0]] == votes_K[order_K][top_N[1]] == votes_K.max()
    # Winning ties is worth one vote, and two votes are one step.
    assert abs(int(steps_N[0] - steps_N[1])) <= 1
    runner_up = np.sort(votes_K)[-2]
    if (votes_K.max() - runner_up) % 2 == 1:
        assert steps_N[0] == steps_N[1]
