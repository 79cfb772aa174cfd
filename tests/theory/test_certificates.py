"""The contract of every certificate: what holds for all of them, whichever theorem is behind it."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.methods import CERTIFICATES, METHODS, measure_for
from rsbench.records import IntArray
from rsbench.specs import Family, MeasureSpec
from rsbench.theory.certificate import Verdicts

SPLITS = 220
Q = 255


def measure_of(family: Family, sigma: float = 0.25) -> MeasureSpec:
    if family == "deterministic-splitting":
        return MeasureSpec(family=family, sigma=sigma, levels=SPLITS, offsets_seed=0)
    return MeasureSpec(family=family, sigma=sigma)


@dataclass(frozen=True)
class Case:
    """One certificate under one measure that it holds for."""

    name: str
    family: Family

    @property
    def sampled(self) -> bool:
        return self.family != "deterministic-splitting"

    def certify(self, votes_NK: IntArray, *, alpha: float = 0.001, sigma: float = 0.25) -> Verdicts:
        """Certify with the same votes for selection and estimation."""
        return CERTIFICATES[self.name].certify(
            votes_NK, votes_NK, measure_of(self.family, sigma), q=Q, failure_probability=alpha if self.sampled else None
        )


CASES = [Case(name, family) for name in CERTIFICATES for family in sorted(CERTIFICATES[name].families)]
SAMPLED = [case for case in CASES if case.sampled]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}-{case.family}")
every_sampled_case = pytest.mark.parametrize("case", SAMPLED, ids=lambda case: f"{case.name}-{case.family}")


def votes(*top: int, classes: int = 4) -> IntArray:
    """Rows of SPLITS votes in which class 1 has `top` and class 2 the rest."""
    counts_NK = np.zeros((len(top), classes), dtype=np.int64)
    counts_NK[:, 1] = top
    counts_NK[:, 2] = SPLITS - np.array(top)
    return counts_NK


def test_every_method_declares_a_certificate_that_holds_for_its_measure() -> None:
    for method in METHODS.values():
        measure = measure_for(method, 0.25, q=Q, offsets_seed=0)
        assert measure.family in CERTIFICATES[method.certificate].families


@every_case
def test_declares_what_makes_a_radius_true(case: Case) -> None:
    certificate = CERTIFICATES[case.name]
    assert certificate.name == case.name
    assert certificate.norms
    assert set(certificate.norms) <= {"l1", "l2"}
    assert certificate.ball in ("open", "closed")
    assert certificate.threat_model
    assert certificate.source


@every_case
def test_returns_one_verdict_an_image(case: Case) -> None:
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


@every_case
def test_radius_rises_with_the_votes_of_the_class(case: Case) -> None:
    verdicts = case.certify(votes(*range(SPLITS // 2 + 1, SPLITS + 1)))
    assert (np.diff(verdicts.radius_N) >= 0).all()
    assert verdicts.radius_N[-1] > verdicts.radius_N[0]


@every_case
@given(data=st.data())
def test_the_order_of_images_does_not_matter(case: Case, data: st.DataObject) -> None:
    votes_NK = votes(*data.draw(st.lists(st.integers(0, SPLITS), min_size=1, max_size=8)))
    order_N = np.array(data.draw(st.permutations(range(len(votes_NK)))))
    verdicts, shuffled = case.certify(votes_NK), case.certify(votes_NK[order_N])
    np.testing.assert_array_equal(verdicts.predicted_N[order_N], shuffled.predicted_N)
    np.testing.assert_array_equal(verdicts.radius_N[order_N], shuffled.radius_N)


@every_sampled_case
@given(data=st.data())
def test_renaming_the_classes_renames_the_prediction_only(case: Case, data: st.DataObject) -> None:
    # Distinct counts: on ties the lowest index is selected, and that rule sees names.
    votes_K = np.array(data.draw(st.lists(st.integers(0, 500), min_size=4, max_size=4, unique=True)))
    order_K = np.array(data.draw(st.permutations(range(4))))
    verdicts, renamed = case.certify(votes_K[None, :]), case.certify(votes_K[None, order_K])
    assert order_K[renamed.predicted_N[0]] == verdicts.predicted_N[0]
    assert renamed.radius_N[0] == verdicts.radius_N[0]


@every_sampled_case
def test_radius_rises_with_n_at_the_same_share(case: Case) -> None:
    radii = [float(case.certify(np.array([[n // 10 * 9, n // 10]])).radius_N[0]) for n in (100, 1000, 10_000)]
    assert 0 < radii[0] < radii[1] < radii[2]


@every_sampled_case
def test_radius_rises_with_alpha(case: Case) -> None:
    radii = [float(case.certify(votes(200), alpha=alpha).radius_N[0]) for alpha in (1e-6, 0.001, 0.05)]
    assert 0 < radii[0] < radii[1] < radii[2]


@every_sampled_case
@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_radius_is_proportional_to_sigma(case: Case, factor: float) -> None:
    # Powers of two scale floats without rounding.
    one, other = case.certify(votes(190)), case.certify(votes(190), sigma=0.25 * factor)
    assert other.radius_N[0] == factor * one.radius_N[0]


@every_sampled_case
def test_the_class_comes_from_the_selection_votes_alone(case: Case) -> None:
    # The selection names class 2, which then wins only 30 of the fresh votes: to abstain is the one honest answer.
    verdicts = CERTIFICATES[case.name].certify(
        votes(100), votes(190), measure_of(case.family), q=Q, failure_probability=0.001
    )
    assert verdicts.predicted_N.tolist() == [2]
    assert verdicts.abstained_N.tolist() == [True]
    assert verdicts.radius_N.tolist() == [0.0]


@every_sampled_case
def test_abstains_exactly_when_the_bound_does_not_exceed_one_half(case: Case) -> None:
    # α = 2⁻¹⁰: ten unanimous votes bound the share by exactly ½, eleven by more.
    ten = case.certify(np.array([[10, 0]]), alpha=2.0**-10)
    eleven = case.certify(np.array([[11, 0]]), alpha=2.0**-10)
    assert ten.abstained_N.tolist() == [True]
    assert eleven.abstained_N.tolist() == [False]


@every_case
def test_refuses_measures_that_its_theorem_does_not_speak_of(case: Case) -> None:
    families: tuple[Family, ...] = ("gaussian", "uniform", "splitting", "deterministic-splitting")
    certificate = CERTIFICATES[case.name]
    for family in set(families) - certificate.families:
        with pytest.raises(ValueError, match=f"not for {family}"):
            certificate.certify(votes(200), votes(200), measure_of(family), q=Q, failure_probability=0.001)


@every_case
@pytest.mark.parametrize(
    ("selection_NK", "estimation_NK", "complaint"),
    [
        (votes(200), votes(200, 200), "N×K"),
        (votes(200)[0], votes(200)[0], "N×K"),
        (votes(200, classes=5), votes(200), "N×K"),
        (votes(200), votes(-1), "negative"),
        (votes(-1), votes(200), "negative"),
        (votes(200), np.zeros((1, 4), dtype=np.int64), "same number of votes"),
        (votes(200, 200), np.array([[220, 0, 0, 0], [219, 0, 0, 0]]), "same number of votes"),
    ],
)
def test_refuses_what_are_no_votes(case: Case, selection_NK: IntArray, estimation_NK: IntArray, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        CERTIFICATES[case.name].certify(
            selection_NK, estimation_NK, measure_of(case.family), q=Q, failure_probability=0.001
        )


@every_sampled_case
@pytest.mark.parametrize("alpha", [None, 0.0, 1.0])
def test_certificates_from_samples_need_a_failure_probability(case: Case, alpha: float | None) -> None:
    with pytest.raises(ValueError, match="failure probability"):
        CERTIFICATES[case.name].certify(votes(200), votes(200), measure_of(case.family), q=Q, failure_probability=alpha)


@every_sampled_case
@pytest.mark.parametrize("p", [0.35, 0.5, 0.55, 0.8])
def test_a_wrong_certificate_is_as_rare_as_alpha_says(case: Case, p: float) -> None:
    # Two classes, the first with probability p: every one of the outcomes of 12 fresh votes, weighed exactly.
    # Certifying a class is an error when the radius exceeds the one that its true probability would give.
    n, alpha = 12, 0.05
    numerator, denominator = p.as_integer_ratio()
    outcomes_NK = np.array([[k, n - k] for k in range(n + 1)])
    selection_NK = np.tile([1, 0], (n + 1, 1))
    certificate, measure = CERTIFICATES[case.name], measure_of(case.family)
    verdicts = certificate.certify(selection_NK, outcomes_NK, measure, q=Q, failure_probability=alpha)
    # The radius of p itself, to within 1e-3: a million votes with that share, bounded at their median.
    million_NK = np.array([[round(p * 10**6), 10**6 - round(p * 10**6)]])
    true_radius = float(certificate.certify(million_NK, million_NK, measure, q=Q, failure_probability=0.5).radius_N[0])
    wrong = Fraction(0)
    for k in range(n + 1):
        if not verdicts.abstained_N[k] and (p <= 0.5 or verdicts.radius_N[k] > true_radius + 1e-3):
            ways = math.comb(n, k) * numerator**k * (denominator - numerator) ** (n - k)
            wrong += Fraction(ways, denominator**n)
    assert wrong <= Fraction(alpha)
