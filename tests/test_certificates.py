"""`rsbench.certificates`: the theorems as plain functions, and nothing but the theorems."""

import doctest
from collections.abc import Callable, Iterator
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import rsbench
from rsbench import certificates
from rsbench.specs import MeasureSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, SampledCertificate
from rsbench.theory.gaussian_l2 import GaussianL2
from rsbench.theory.probability_bounds import ProbabilityBounds

SAMPLED = [name for name, theorem in CERTIFICATES.items() if isinstance(theorem, SampledCertificate)]
VOTES_NK = np.array([[950, 30, 20], [400, 500, 100], [700, 0, 300], [1000, 0, 0]])
SELECTED_N = np.array([0, 1, 0, 0])
IMAGES_NHW = np.arange(4 * 6, dtype=np.uint8).reshape(4, 2, 3) * 10


def function_of(name: str) -> certificates.CertificateFunction:
    function: certificates.CertificateFunction = getattr(certificates, name.replace("-", "_"))
    return function


def test_every_certificate_has_a_function_that_says_what_it_is() -> None:
    assert certificates.names() == tuple(CERTIFICATES)
    for name, theorem in CERTIFICATES.items():
        assert theorem.source in str(function_of(name).__doc__)
        assert name.replace("-", "_") in dir(certificates)


@pytest.mark.parametrize("procedure", ["one-versus-rest", "top-two"])
@pytest.mark.parametrize("name", SAMPLED)
def test_radii_of_votes_are_those_of_the_certificate_bit_by_bit(name: str, procedure: Any) -> None:
    theorem = CERTIFICATES[name]
    measure = MeasureSpec(family=next(iter(theorem.threat_models)), sigma=0.7)
    x_ND = IMAGES_NHW.reshape(4, -1) / 255
    verdicts = theorem.certify(
        np.eye(3, dtype=np.int64)[SELECTED_N], VOTES_NK, measure, failure_probability=0.001, procedure=procedure,
        images=ImageFacts(q=255, dims=6, caps_ND=np.maximum(x_ND, 1.0 - x_ND)),
    )  # fmt: skip
    radii = function_of(name)(
        VOTES_NK, sigma=0.7, alpha=0.001, selected=SELECTED_N, bounds=procedure, dims=6, images=IMAGES_NHW, q=255
    )
    np.testing.assert_array_equal(radii, verdicts.radius_N)
    # The most voted class is the default.
    default = function_of(name)(VOTES_NK, sigma=0.7, alpha=0.001, bounds=procedure, dims=6, images=IMAGES_NHW)
    np.testing.assert_array_equal(default, radii)
    first = function_of(name)(VOTES_NK[0], sigma=0.7, alpha=0.001, bounds=procedure, dims=6, images=IMAGES_NHW[0])
    assert isinstance(first, float)
    assert first == verdicts.radius_N[0] > 0


@pytest.mark.parametrize("name", SAMPLED)
def test_radii_of_probabilities_are_those_of_the_certificate(name: str) -> None:
    theorem = CERTIFICATES[name]
    assert isinstance(theorem, SampledCertificate)
    scale = 0.7 if theorem.scale == "sigma" else MeasureSpec(family="uniform", sigma=0.7).half_width
    caps_ND = np.full((1, 6), 1.0)
    expected = theorem.radius(
        ProbabilityBounds.exact(Fraction(0.9), Fraction(1, 20)), scale, ImageFacts(dims=6, caps_ND=caps_ND)
    )
    black = np.zeros((1, 2, 3), dtype=np.uint8)
    assert function_of(name)(pa=0.9, pb=Fraction(1, 20), sigma=0.7, dims=6, images=black) == expected[0]
    several = function_of(name)(pa=[0.9, 0.4], pb=[0.05, 0.6], sigma=0.7, dims=6, images=np.repeat(black, 2, axis=0))
    np.testing.assert_allclose(several, [expected[0], 0.0], rtol=1e-12)


def test_dssn_counts_the_votes_of_all_copies() -> None:
    assert certificates.dssn([40, 10, 5], q=16) == 15 / 16
    np.testing.assert_array_equal(certificates.dssn([[40, 10, 5], [5, 10, 40]], q=16), [15 / 16, 14 / 16])


def test_an_exact_number_is_taken_as_it_is() -> None:
    # The float nearest to 0.1 lies above 1/10, and no rounding may hide it.
    assert certificates.cohen(pa=0.5 + 2.0**-53, sigma=1.0) > 0.0
    assert certificates.cohen(pa=Fraction(1, 2), sigma=1.0) == 0.0


def test_a_certificate_of_a_plugin_has_a_function(monkeypatch: pytest.MonkeyPatch) -> None:
    class Halved(GaussianL2):
        name = "half-of-cohen"

        def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> Any:
            return 0.5 * super()._radius(bounds, scale, images)

    monkeypatch.setattr(certificates, "CERTIFICATES", MappingProxyType({**CERTIFICATES, "half-of-cohen": Halved()}))
    halved = function_of("half-of-cohen")(VOTES_NK, sigma=0.5, alpha=0.001)
    np.testing.assert_array_equal(2.0 * halved, certificates.cohen(VOTES_NK, sigma=0.5, alpha=0.001))
    assert "half_of_cohen" in dir(certificates)


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: certificates.cohen([950, 50], sigma=0.5), "needs alpha"),
    (lambda: certificates.cohen([950, 50], alpha=0.001), "needs sigma"),
    (lambda: certificates.cohen(sigma=0.5), "needs votes and alpha, or pa"),
    (lambda: certificates.cohen([950, 50], sigma=0.5, alpha=0.001, pa=0.9), "votes and pa exclude each other"),
    (lambda: certificates.cohen([950, 50], sigma=-1, alpha=0.001), "σ must be a positive number"),
    (lambda: certificates.cohen([950, 50], sigma=0.5, alpha=2), r"must lie in \(0, 1\), got 2"),
    (lambda: certificates.cohen([950.5, 50], sigma=0.5, alpha=0.001), "whole numbers, got float64"),
    (lambda: certificates.cohen([-1, 50], sigma=0.5, alpha=0.001), "must not be negative"),
    (lambda: certificates.cohen([[1, 2], [3, 4]], sigma=0.5, alpha=0.001), "the same number of votes.*, got 3 to 7"),
    (lambda: certificates.cohen([[[1, 2]]], sigma=0.5, alpha=0.001), r"K counts or an N×K array"),
    (lambda: certificates.cohen([950, 50], sigma=0.5, alpha=0.001, selected=2), r"must lie in 0..1, got 2"),
    (lambda: certificates.cohen([950, 50], sigma=0.5, alpha=0.001, selected=[0, 1]), "a class for each of the 1"),
    (lambda: certificates.cohen([950, 50], sigma=0.5, alpha=0.1, bounds="both"), "unknown procedure 'both'"),  # type: ignore[arg-type]
    (lambda: certificates.cohen(pa=1.5, sigma=0.5), r"probability in \[0, 1\], got 1.5"),
    (lambda: certificates.cohen(pa=float("nan"), sigma=0.5), r"probability in \[0, 1\], got nan"),
    (lambda: certificates.box_log(pa=0.9, sigma=0.1), "box-log needs 2λ > 1"),
    (lambda: certificates.box_image(pa=0.9, sigma=0.5), "needs images"),
    (lambda: certificates.box_image(pa=0.9, sigma=0.5, images=[[1.5]]), r"pixels must lie in \[0,1\]"),
    (lambda: certificates.dssn([40, 10], alpha=0.001), "exact"),
    (lambda: certificates.dssn([40, 10], q=0), "must lie in 1..65535"),
    (lambda: rsbench.gaussian(0.0), "sigma must lie between"),
    (lambda: rsbench.deterministic_splitting(0.001), "needs at least 2"),
    (lambda: rsbench.deterministic_splitting(0.5, q=0), "q, the number of quantisation steps"),
    (lambda: rsbench.deterministic_splitting(0.5, offsets_seed=-1), "offsets_seed must lie in"),
]


def refusals() -> Iterator[Any]:
    for call, complaint in REFUSED:
        yield pytest.param(call, complaint, id=complaint)


@pytest.mark.parametrize(("call", "complaint"), list(refusals()))
def test_bad_input_is_refused_in_one_line(call: Callable[[], object], complaint: str) -> None:
    with pytest.raises((ValueError, rsbench.UsageError), match=complaint) as refusal:
        call()
    assert "\n" not in str(refusal.value)


def test_an_unknown_function_names_those_that_there_are() -> None:
    with pytest.raises(AttributeError, match="certificates are cohen, lecuyer"):
        _ = certificates.nope


def test_the_documented_example_is_true() -> None:
    assert doctest.testmod(certificates).failed == 0


def test_sigma_is_the_standard_deviation_of_every_measure() -> None:
    for measure in (rsbench.gaussian(0.5), rsbench.uniform(0.5), rsbench.splitting(0.5)):
        assert (measure.sigma, measure.levels) == (0.5, None)
    exact = rsbench.deterministic_splitting(0.5, q=16, offsets_seed=3)
    assert (exact.sigma, exact.levels, exact.offsets_seed) == (0.5, 27, 3)
