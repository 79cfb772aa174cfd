"""The contract that every certificate satisfies, whatever its theorem."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsbench.families import FAMILIES
from rsbench.methods import METHODS, measure_for
from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, SampledCertificate, ThreatModel, Verdicts, check_votes
from rsbench.theory.probability_bounds import ProbabilityBounds

SPLITS = 220
Q = 255
PROCEDURES: tuple[Procedure, ...] = get_args(Procedure)

# Caps of five pixels. At σ = 1, no radius covers the whole box of five pixels.
CAPS_D = np.array([0.5, 0.8, 1.0, 0.7, 0.6])


def measure_of(family: str, sigma: float = 1.0) -> MeasureSpec:
    if family == "deterministic-splitting":
        return MeasureSpec(family=family, sigma=sigma, levels=SPLITS, offsets_seed=0)
    return MeasureSpec(family=family, sigma=sigma)


def facts(images: int, caps_D: FloatArray = CAPS_D) -> ImageFacts:
    """Return all facts that a certificate may need, the same for every image."""
    return ImageFacts(q=Q, dims=len(caps_D), caps_ND=np.tile(caps_D, (images, 1)))


@dataclass(frozen=True)
class Case:
    """A certificate, a smoothing measure that it covers, and a procedure."""

    name: str
    family: str
    procedure: Procedure

    def __str__(self) -> str:
        return f"{self.name}-{self.family}-{self.procedure}"

    @property
    def sampled(self) -> bool:
        return isinstance(CERTIFICATES[self.name], SampledCertificate)

    def certify(
        self,
        estimation_NK: IntArray,
        *,
        selection_NK: IntArray | None = None,
        alpha: float | None = 0.001,
        sigma: float = 1.0,
        images: ImageFacts | None = None,
    ) -> Verdicts:
        """Certify votes; the selection votes are the estimation votes unless others are given."""
        return CERTIFICATES[self.name].certify(
            estimation_NK if selection_NK is None else selection_NK,
            estimation_NK,
            measure_of(self.family, sigma),
            failure_probability=alpha if self.sampled else None,
            procedure=self.procedure,
            images=images or facts(len(estimation_NK)),
        )


CASES = [
    Case(name, family, procedure)
    for name, certificate in CERTIFICATES.items()
    for family in certificate.threat_models
    for procedure in (PROCEDURES if isinstance(certificate, SampledCertificate) else PROCEDURES[:1])
]
SAMPLED = [case for case in CASES if case.sampled]
# The radius of box certificates is not proportional to σ, because the box does not grow with it.
PROPORTIONAL = [case for case in SAMPLED if not case.name.startswith("box")]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_sampled_case = pytest.mark.parametrize("case", SAMPLED, ids=str)
# Fewer than the default, because there are some twenty cases.
some_examples = settings(max_examples=40)
every_certificate = pytest.mark.parametrize("name", CERTIFICATES)


def votes(*top: int, classes: int = 4) -> IntArray:
    """Return rows of SPLITS votes in which class 1 has `top` votes and class 2 the rest."""
    counts_NK = np.zeros((len(top), classes), dtype=np.int64)
    counts_NK[:, 1] = top
    counts_NK[:, 2] = SPLITS - np.array(top)
    return counts_NK


def test_the_catalogue_contains_the_documented_names() -> None:
    assert set(CERTIFICATES) == {"cohen", "lecuyer", "li", "lee", "box-log", "box", "box-image", "dssn"}
    assert {case.family for case in CASES} == set(FAMILIES)


def test_every_method_declares_a_certificate_that_holds_for_its_measure() -> None:
    for method in METHODS.values():
        measure = measure_for(method, 0.25, q=Q, offsets_seed=0)
        CERTIFICATES[method.certificate].check_measure(measure.family)


@every_certificate
def test_every_certificate_declares_its_attributes(name: str) -> None:
    certificate = CERTIFICATES[name]
    assert certificate.name == name
    assert certificate.norms
    assert set(certificate.norms) <= {"l1", "l2", "linf"}
    assert certificate.ball in ("open", "closed")
    assert certificate.threat_models
    assert set(certificate.threat_models) <= set(FAMILIES)
    assert set(certificate.threat_models.values()) <= set(get_args(ThreatModel))
    assert certificate.condition
    assert certificate.source
    for model in certificate.threat_models.values():
        assert model in certificate.threat_model


@every_certificate
def test_measures_that_the_theorem_does_not_cover_are_refused(name: str) -> None:
    certificate = CERTIFICATES[name]
    for family in set(FAMILIES) - set(certificate.threat_models):
        complaint = f"certificate {name} does not hold for {family} smoothing"
        with pytest.raises(ValueError, match=complaint) as refusal:
            certificate.check_measure(family)
        assert certificate.condition in str(refusal.value)
        assert certificate.source in str(refusal.value)
        with pytest.raises(ValueError, match=complaint):
            certificate.certify(votes(200), votes(200), measure_of(family), failure_probability=0.001, images=facts(1))


@every_case
def test_every_image_has_a_verdict(case: Case) -> None:
    verdicts = case.certify(votes(SPLITS, 200, 150, 110))
    for field in (verdicts.predicted_N, verdicts.abstained_N, verdicts.radius_N):
        assert field.shape == (4,)
    assert verdicts.radius_N.dtype == np.float64
    assert verdicts.abstained_N.dtype == np.bool_
    assert verdicts.predicted_N[0] == 1
    assert verdicts.radius_N[0] > 0


@every_case
def test_no_images_give_no_verdicts(case: Case) -> None:
    assert case.certify(np.zeros((0, 4), dtype=np.int64)).radius_N.shape == (0,)


@every_case
def test_radii_are_finite_and_zero_on_abstention(case: Case) -> None:
    verdicts = case.certify(votes(*range(SPLITS + 1)))
    assert np.isfinite(verdicts.radius_N).all()
    assert (verdicts.radius_N >= 0).all()
    assert (verdicts.radius_N[verdicts.abstained_N] == 0).all()


@every_sampled_case
def test_a_radius_is_infinite_only_if_the_threat_model_is_bounded(case: Case) -> None:
    # With one pixel and σ ten times the pixel range, no image of the box is far enough away.
    verdicts = case.certify(votes(SPLITS, 100), sigma=10.0, images=facts(2, np.array([1.0])))
    in_the_box = case.name in ("box", "box-image")
    assert np.isinf(verdicts.radius_N).tolist() == [in_the_box, False]
    assert verdicts.abstained_N.tolist() == [False, True]


@every_case
def test_radius_increases_with_the_votes_of_the_class(case: Case) -> None:
    verdicts = case.certify(votes(*range(SPLITS // 2 + 1, SPLITS + 1)))
    assert (np.diff(verdicts.radius_N) >= 0).all()
    assert verdicts.radius_N[-1] > verdicts.radius_N[0]


@every_case
@some_examples
@given(data=st.data())
def test_the_order_of_the_images_does_not_matter(case: Case, data: st.DataObject) -> None:
    votes_NK = votes(*data.draw(st.lists(st.integers(0, SPLITS), min_size=1, max_size=8)))
    order_N = np.array(data.draw(st.permutations(range(len(votes_NK)))))
    caps_ND = np.linspace(0.5, 1.0, 3 * len(votes_NK)).reshape(len(votes_NK), 3)
    verdicts = case.certify(votes_NK, images=ImageFacts(q=Q, dims=3, caps_ND=caps_ND))
    shuffled = case.certify(votes_NK[order_N], images=ImageFacts(q=Q, dims=3, caps_ND=caps_ND[order_N]))
    np.testing.assert_array_equal(verdicts.predicted_N[order_N], shuffled.predicted_N)
    np.testing.assert_array_equal(verdicts.radius_N[order_N], shuffled.radius_N)


@every_case
def test_the_verdict_of_an_image_does_not_depend_on_other_images(case: Case) -> None:
    votes_NK = votes(*range(0, SPLITS + 1, 20))
    together, alone = case.certify(votes_NK), [case.certify(row_K[None]) for row_K in votes_NK]
    assert together.radius_N.tolist() == [float(verdicts.radius_N[0]) for verdicts in alone]
    assert together.predicted_N.tolist() == [int(verdicts.predicted_N[0]) for verdicts in alone]


@every_sampled_case
@some_examples
@given(data=st.data())
def test_permuting_the_classes_permutes_only_the_prediction(case: Case, data: st.DataObject) -> None:
    # Distinct counts, because on ties the class with the lowest index is selected.
    votes_K = np.array(data.draw(st.lists(st.integers(0, 500), min_size=4, max_size=4, unique=True)))
    order_K = np.array(data.draw(st.permutations(range(4))))
    verdicts, renamed = case.certify(votes_K[None, :]), case.certify(votes_K[None, order_K])
    assert order_K[renamed.predicted_N[0]] == verdicts.predicted_N[0]
    assert renamed.radius_N[0] == verdicts.radius_N[0]


@every_sampled_case
def test_radius_increases_with_n_at_the_same_frequency(case: Case) -> None:
    radii = [float(case.certify(np.array([[n // 10 * 9, n // 10]])).radius_N[0]) for n in (100, 1000, 10_000)]
    assert 0 < radii[0] < radii[1] < radii[2]


@every_sampled_case
def test_radius_increases_with_alpha(case: Case) -> None:
    radii = [float(case.certify(votes(200), alpha=alpha).radius_N[0]) for alpha in (1e-6, 0.001, 0.05)]
    assert 0 < radii[0] < radii[1] < radii[2]


@pytest.mark.parametrize("case", PROPORTIONAL, ids=str)
@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_radius_is_proportional_to_sigma(case: Case, factor: float) -> None:
    # Multiplying by powers of two does not round.
    reference, scaled = case.certify(votes(190)), case.certify(votes(190), sigma=factor)
    assert scaled.radius_N[0] == factor * reference.radius_N[0]


@every_sampled_case
def test_radius_increases_with_sigma(case: Case) -> None:
    radii = [float(case.certify(votes(190), sigma=sigma).radius_N[0]) for sigma in (0.5, 1.0, 1.1, 2.0)]
    assert 0 < radii[0] < radii[1] < radii[2] < radii[3]


@every_sampled_case
def test_the_class_comes_from_the_selection_votes_alone(case: Case) -> None:
    # The selection votes choose class 2, which has only 30 of the estimation votes, so the image must abstain.
    verdicts = case.certify(votes(190), selection_NK=votes(100))
    assert verdicts.predicted_N.tolist() == [2]
    assert verdicts.abstained_N.tolist() == [True]
    assert verdicts.radius_N.tolist() == [0.0]


@every_sampled_case
@some_examples
@given(data=st.data())
def test_the_prediction_is_the_selected_class_even_if_another_leads_in_the_estimation(
    case: Case, data: st.DataObject
) -> None:
    counts = st.lists(st.integers(0, 60), min_size=3, max_size=3)
    selection_NK = np.array([data.draw(counts)])
    estimation_NK = np.array([data.draw(counts.filter(any))])
    verdicts = case.certify(estimation_NK, selection_NK=selection_NK)
    selected = int(selection_NK[0].argmax())
    assert verdicts.predicted_N.tolist() == [selected]
    if not verdicts.abstained_N[0]:
        others_K = np.delete(estimation_NK[0], selected)
        assert estimation_NK[0, selected] > others_K.max()


@every_sampled_case
def test_an_image_abstains_if_and_only_if_its_bounds_leave_no_gap(case: Case) -> None:
    # With failure probability 2⁻¹⁰ for each bound, ten unanimous votes give a bound of exactly ½, eleven a larger one.
    # Top-two has two bounds.
    alpha = 2.0**-10 * (2 if case.procedure == "top-two" else 1)
    ten = case.certify(np.array([[10, 0]]), alpha=alpha)
    eleven = case.certify(np.array([[11, 0]]), alpha=alpha)
    assert ten.abstained_N.tolist() == [True]
    assert eleven.abstained_N.tolist() == [False]


@pytest.mark.parametrize("name", sorted({case.name for case in SAMPLED}))
def test_top_two_certifies_a_leading_class_without_a_majority(name: str) -> None:
    # The class has 45 % of the votes, eleven others about 5 % each: one bound alone cannot certify that.
    scattered_NK = np.array([[450] + [50] * 11])
    single, double = (
        next(case for case in SAMPLED if (case.name, case.procedure) == (name, procedure)).certify(scattered_NK)
        for procedure in PROCEDURES
    )
    assert single.abstained_N.tolist() == [True]
    assert double.abstained_N.tolist() == [False]
    assert double.radius_N[0] > 0.0


@every_case
@pytest.mark.parametrize(
    ("selection_NK", "estimation_NK", "complaint"),
    [
        (votes(200), votes(200, 200), "N×K"),
        (votes(200)[0], votes(200)[0], "N×K"),
        (votes(200, classes=5), votes(200), "N×K"),
        (votes(200), votes(-1), "negative"),
        (votes(-1), votes(200), "negative"),
        (votes(200)[:, :1], votes(200)[:, :1], "two classes"),
        (votes(200), np.zeros((1, 4), dtype=np.int64), "same number of votes"),
        (votes(200, 200), np.array([[220, 0, 0, 0], [219, 0, 0, 0]]), "same number of votes"),
    ],
)
def test_invalid_votes_are_refused(case: Case, selection_NK: IntArray, estimation_NK: IntArray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        case.certify(estimation_NK, selection_NK=selection_NK)


@every_sampled_case
@pytest.mark.parametrize("alpha", [None, 0.0, 1.0])
def test_sampled_certificates_need_a_failure_probability(case: Case, alpha: float | None) -> None:
    with pytest.raises(ValueError, match="failure probability"):
        case.certify(votes(200), alpha=alpha)


@every_sampled_case
@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), float("nan")])
def test_sampled_certificates_need_a_positive_scale(case: Case, scale: float) -> None:
    with pytest.raises(ValueError, match="positive number"):
        sampled(case).radius(ProbabilityBounds.one_versus_rest(0.9), scale, facts(1))


def sampled(case: Case) -> SampledCertificate:
    certificate = CERTIFICATES[case.name]
    assert isinstance(certificate, SampledCertificate)
    return certificate


def probability_of(outcome_K: IntArray, p_K: tuple[Fraction, ...]) -> Fraction:
    """Return the exact probability of a multinomial outcome."""
    ways = math.factorial(int(outcome_K.sum()))
    for count in outcome_K.tolist():
        ways //= math.factorial(count)
    return math.prod((p**count for p, count in zip(p_K, outcome_K.tolist(), strict=True)), start=Fraction(ways))


def true_radius(case: Case, p_K: tuple[Fraction, ...], selected: int) -> float:
    """Return the radius of the selected class for the true probabilities, 0 if it is not the most probable class."""
    runner_up = max(p for other, p in enumerate(p_K) if other != selected)
    bounds = ProbabilityBounds.exact(p_K[selected], runner_up if case.procedure == "top-two" else None)
    scale: float = getattr(measure_of(case.family), sampled(case).scale)
    return float(sampled(case).radius(bounds, scale, facts(1))[0])


# With two classes there are 13 outcomes of 12 votes, with three 91; then the runner-up is not always the same class.
@every_sampled_case
@pytest.mark.parametrize(
    "p_K",
    [
        (Fraction(35, 100), Fraction(65, 100)),
        (Fraction(1, 2), Fraction(1, 2)),
        (Fraction(55, 100), Fraction(45, 100)),
        (Fraction(8, 10), Fraction(2, 10)),
        (Fraction(5, 10), Fraction(3, 10), Fraction(2, 10)),
        (Fraction(4, 10), Fraction(3, 10), Fraction(3, 10)),
        (Fraction(9, 10), Fraction(5, 100), Fraction(5, 100)),
    ],
    ids=str,
)
def test_a_certificate_is_wrong_with_probability_at_most_alpha(case: Case, p_K: tuple[Fraction, ...]) -> None:
    # All outcomes of the estimation votes are weighed exactly. A certificate is wrong if its radius exceeds that of the
    # true probabilities, or if the class is not the most probable one.
    n, alpha = 12, 0.05
    cuts = np.array([(0, *cut, n) for cut in np.ndindex(*[n + 1] * (len(p_K) - 1)) if list(cut) == sorted(cut)])
    outcomes_NK = np.diff(cuts, axis=1)
    for selected in range(len(p_K)):
        selection_NK = np.tile(np.eye(len(p_K), dtype=np.int64)[selected], (len(outcomes_NK), 1))
        verdicts = case.certify(outcomes_NK, selection_NK=selection_NK, alpha=alpha)
        true = true_radius(case, p_K, selected)
        wrong_N: BoolArray = ~verdicts.abstained_N & ((verdicts.radius_N > true) | (true == 0.0))
        assert sum((probability_of(row_K, p_K) for row_K in outcomes_NK[wrong_N]), Fraction(0)) <= Fraction(alpha)


def test_box_image_needs_the_caps_of_every_image() -> None:
    certificate, measure = CERTIFICATES["box-image"], measure_of("uniform")
    for images, complaint in ((None, "needs each image's caps"), (facts(3), "2 images need as many rows of caps")):
        with pytest.raises(ValueError, match=complaint):
            certificate.certify(votes(200, 200), votes(200, 200), measure, failure_probability=0.001, images=images)


def test_an_unknown_procedure_is_refused() -> None:
    unknown = Case("cohen", "gaussian", "best-of-both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown procedure 'best-of-both'"):
        unknown.certify(votes(200))


def test_box_log_is_refused_for_a_small_half_width() -> None:
    # λ = √3/4 < ½.
    with pytest.raises(ValueError, match="box-log needs 2λ > 1"):
        Case("box-log", "uniform", "one-versus-rest").certify(votes(200), sigma=0.25)


@pytest.mark.parametrize("q", [0, -1, 2**16])
def test_q_out_of_range_is_refused(q: int) -> None:
    with pytest.raises(ValueError, match=r"q, the number of quantisation steps, must lie in 1\.\.65535"):
        ImageFacts(q=q)


def test_images_without_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 pixel"):
        ImageFacts(dims=0)
    with pytest.raises(ValueError, match="D ≥ 1"):
        ImageFacts(caps_ND=np.ones((2, 0)))
    with pytest.raises(ValueError, match="N×D"):
        ImageFacts(caps_ND=np.ones(3))


@pytest.mark.parametrize("cap", [0.4999, 1.0001, -1.0, float("nan")])
def test_caps_out_of_range_are_refused(cap: float) -> None:
    with pytest.raises(ValueError, match=r"lies in \[½, 1\]"):
        ImageFacts(caps_ND=np.array([[1.0, cap]]))


def test_votes_are_checked_against_n_and_the_number_of_classes() -> None:
    check_votes(votes(200), n=SPLITS, classes=4)
    check_votes(np.zeros((0, 4), dtype=np.int64), n=SPLITS, classes=4)
    with pytest.raises(ValueError, match="the votes are of 4 classes, but the dataset has 10"):
        check_votes(votes(200), classes=10)
    with pytest.raises(ValueError, match="sum to 220, but n = 100"):
        check_votes(votes(200), n=100)
