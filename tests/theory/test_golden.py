"""Golden values of every formula with 25 digits: results agree to 10⁻¹² and never err on the unsafe side.

Comparisons are exact: inputs are decimals, read as rationals, and results are compared with the golden values as
rationals. Where a formula takes a float (α, λ, a cap, a distance), the decimal is rounded to the neighbouring float
that does not make the result larger.
"""

import json
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rsbench.records import FloatArray
from rsbench.smoothing.measures import DeterministicSplittingSmoothing
from rsbench.specs import MeasureSpec, deterministic_levels
from rsbench.theory.accuracy_bounds import (
    bernstein_accuracy_lower,
    exact_certified_lower,
    simultaneous_certified_lower,
    wrong_certificates_quantile,
)
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, SampledCertificate
from rsbench.theory.confidence import clopper_pearson_lower, clopper_pearson_upper, hoeffding_width
from rsbench.theory.confidence_extensions import randomized_lower, time_uniform_lower
from rsbench.theory.deterministic_l1 import deterministic_l1_steps
from rsbench.theory.gaussian_l2 import renyi_divergence
from rsbench.theory.memory import CertificateMemory
from rsbench.theory.metrics import average_certified_radius, certified_accuracy
from rsbench.theory.prediction import predict, two_sided_coin_test
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.rounding import ceil_to_float, floor_to_float
from rsbench.theory.uniform_l1 import smallest_overlap
from tests.fixtures.smoothing import numbered_copies

Inputs = dict[str, Any]

ENTRIES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("golden.json").read_text())

TOLERANCE = Fraction(1, 10**12)


def assert_at_most(measured: float, golden: str, tolerance: Fraction = TOLERANCE) -> None:
    """Assert that a lower bound or a radius agrees with its golden value and is not above it."""
    exact, claimed = Fraction(golden), Fraction(float(measured))
    assert claimed <= exact
    assert exact - claimed <= tolerance * abs(exact)


def assert_at_least(measured: float, golden: str) -> None:
    """Assert that an upper bound agrees with its golden value and is not below it."""
    exact, claimed = Fraction(golden), Fraction(float(measured))
    assert claimed >= exact
    assert claimed - exact <= TOLERANCE * abs(exact)


def down(inputs: Inputs, name: str) -> float:
    return floor_to_float(Fraction(inputs[name]))


def bounds_of(inputs: Inputs) -> ProbabilityBounds:
    upper = inputs["pB"]
    return ProbabilityBounds.exact(Fraction(inputs["pA"]), None if upper is None else Fraction(upper))


def caps_of(inputs: Inputs) -> FloatArray:
    """Return the caps, rounded up, because larger caps give a smaller radius."""
    pixels = [Fraction(text) for text in inputs["x"]]
    return np.array([ceil_to_float(max(x, 1 - x)) for x in pixels])


def radius_of(name: str) -> Callable[[Inputs, str | None], None]:
    certificate = CERTIFICATES[name]
    assert isinstance(certificate, SampledCertificate)

    def check(inputs: Inputs, golden: str | None) -> None:
        bounds = bounds_of(inputs)
        scale = down(inputs, "sigma" if certificate.scale == "sigma" else "lam")
        facts = ImageFacts(dims=inputs.get("d"), caps_ND=caps_of(inputs)[None] if "x" in inputs else None)
        if golden is not None and golden.startswith("undefined"):
            with pytest.raises(ValueError, match="2λ > 1"):
                certificate.radius(bounds, scale, facts)
            return
        radius = float(certificate.radius(bounds, scale, facts)[0])
        if golden is None:
            assert bounds.gap_N[0] <= 0.0
            assert radius == 0.0
        elif golden == "inf":
            assert radius == math.inf
        else:
            assert bounds.gap_N[0] > 0.0
            assert_at_most(radius, golden)

    return check


def check_lower(inputs: Inputs, golden: str) -> None:
    assert_at_most(float(clopper_pearson_lower(inputs["k"], inputs["n"], down(inputs, "alpha"))), golden)


def check_upper(inputs: Inputs, golden: str) -> None:
    assert_at_least(float(clopper_pearson_upper(inputs["k"], inputs["n"], down(inputs, "alpha"))), golden)


def check_votes_to_radius(inputs: Inputs, golden: str) -> None:
    votes_NK = np.array([[inputs["k"], inputs["n"] - inputs["k"]]])
    verdicts = CERTIFICATES["cohen"].certify(
        votes_NK,
        votes_NK,
        MeasureSpec(family="gaussian", sigma=down(inputs, "sigma")),
        failure_probability=down(inputs, "alpha"),
    )
    assert verdicts.predicted_N.tolist() == [0]
    assert verdicts.abstained_N.tolist() == [False]
    assert_at_most(verdicts.radius_N[0], golden)


def check_overlap(inputs: Inputs, golden: str) -> None:
    # A larger distance and narrower noise give a smaller overlap.
    distance, half_width = ceil_to_float(Fraction(inputs["c"])), down(inputs, "lam")
    assert_at_most(smallest_overlap(caps_of(inputs), distance, half_width), golden)


def check_deterministic(inputs: Inputs, golden: dict[str, str]) -> None:
    votes_NK = np.array([inputs["votes"]])
    top_N, steps_N = deterministic_l1_steps(votes_NK)
    assert (top_N[0], steps_N[0]) == (int(golden["cls"]), int(golden["k"]))
    assert Fraction(int(steps_N[0]), inputs["q"]) == Fraction(golden["rho"])
    levels = sum(inputs["votes"])
    if levels >= 2:  # with one split there is no noise
        measure = MeasureSpec(family="deterministic-splitting", sigma=1.0, levels=levels, offsets_seed=0)
        verdicts = CERTIFICATES["dssn"].certify(
            np.zeros_like(votes_NK), votes_NK, measure, images=ImageFacts(q=inputs["q"])
        )
        assert verdicts.predicted_N.tolist() == [int(golden["cls"])]
        assert verdicts.abstained_N.tolist() == [False]
        assert_at_most(verdicts.radius_N[0], golden["rho"], Fraction(1, 2**52))


def check_levels(inputs: Inputs, golden: dict[str, str]) -> None:
    q = inputs["q"]
    levels = deterministic_levels(float(inputs["sigma"]), q)
    assert levels == int(golden["L"])
    assert Fraction(levels, 2 * q) == Fraction(golden["lam"])
    # λ = √3·σ for the effective λ and σ, squared to stay rational; the golden σ has 25 digits.
    assert abs(Fraction(golden["sigma_eff"]) ** 2 * 3 / Fraction(levels, 2 * q) ** 2 - 1) < Fraction(1, 10**24)
    # Unanimous votes for the lowest class, which wins ties, and for the other class.
    _, steps_N = deterministic_l1_steps(np.array([[levels, 0], [0, levels]]))
    for steps, name in zip(steps_N.tolist(), ("max_rho_A0", "max_rho_other"), strict=True):
        assert Fraction(steps, q) == Fraction(golden[name])


def check_centre_of_a_cell(inputs: Inputs, golden: str) -> None:
    q, levels = inputs["q"], inputs["L"]
    measure = DeterministicSplittingSmoothing(levels, offsets_seed=0, q=q, shape_CHW=(1, 1, 1))
    # The base offset at which this pixel's split is number j.
    base = (inputs["j"] - int(measure.offsets_CHW)) % levels
    x_CHW = torch.full((1, 1, 1), inputs["X"] / q)
    [copy] = numbered_copies(measure, x_CHW, base, base + 1).flatten().tolist()
    # The centre of a cell is a multiple of 1/(4q), which float32 resolves.
    assert Fraction(round(copy * 4 * q), 4 * q) == Fraction(golden)
    assert copy == pytest.approx(float(Fraction(golden)), rel=2.0**-23)


def check_divergence(inputs: Inputs, golden: str) -> None:
    assert_at_most(renyi_divergence(bounds_of(inputs), down(inputs, "alpha"))[0], golden)


def check_accuracy(inputs: Inputs, golden: dict[str, str]) -> None:
    images, alpha, rho = inputs["m"], ceil_to_float(Fraction(inputs["alpha"])), down(inputs, "rho")
    bernstein = float(bernstein_accuracy_lower(inputs["Y"], images, alpha, rho))
    if Fraction(golden["thm5"]) < 0:
        assert bernstein == 0.0
    else:
        assert_at_most(bernstein, golden["thm5"])
    assert wrong_certificates_quantile(images, alpha, rho) == int(golden["q"])
    for bound, name in ((simultaneous_certified_lower, "simultaneous"), (exact_certified_lower, "exact_pointwise")):
        assert Fraction(int(bound(inputs["Y"], images, alpha, rho)), images) == Fraction(golden[name])


def check_p_value(inputs: Inputs, golden: str) -> None:
    p_value = float(two_sided_coin_test(inputs["nA"], inputs["nB"]))
    assert_at_least(p_value, golden)
    predictions = predict(np.array([[inputs["nB"], inputs["nA"]]]), 0.001)
    assert predictions.predicted_N.tolist() == [1]
    assert predictions.p_value_N.tolist() == [p_value]
    assert predictions.abstained_N.tolist() == [Fraction(golden) > Fraction(1, 1000)]


def check_plane(inputs: Inputs, golden: dict[str, str]) -> None:
    """Check that the radius for the exact probability of a linear classifier is the distance to its boundary."""
    w, x = ([Fraction(text) for text in inputs[name]] for name in ("w", "x"))
    score = sum((a * b for a, b in zip(w, x, strict=True)), Fraction(inputs["b"]))
    assert (score > 0) == (golden["cls"] == "+")
    squared = score**2 / sum(a * a for a in w)
    assert abs(Fraction(golden["radius"]) ** 2 / squared - 1) < Fraction(1, 10**24)
    exact = {"pA": golden["pA"], "pB": None, "sigma": inputs["sigma"]}
    radius_of("cohen")(exact, golden["radius"])


def check_half_line(inputs: Inputs, golden: dict[str, str]) -> None:
    """Check the same for a threshold on the line under uniform noise."""
    x, half_width = Fraction(inputs["x"]), Fraction(inputs["lam"])
    assert (abs(x) + half_width) / (2 * half_width) == Fraction(golden["pA"])
    assert abs(x) == Fraction(golden["lee_yang"])
    radius_of("lee")({"pA": golden["pA"], "pB": None, "lam": inputs["lam"]}, golden["lee_yang"])


def check_width(inputs: Inputs, golden: str) -> None:
    assert_at_least(hoeffding_width(inputs["n"], down(inputs, "alpha")), golden)


def check_randomized(inputs: Inputs, golden: str) -> None:
    measured = randomized_lower(inputs["k"], inputs["n"], ceil_to_float(Fraction(inputs["u"])), down(inputs, "alpha"))
    assert_at_most(float(measured), golden)


def check_time_uniform(inputs: Inputs, golden: str) -> None:
    assert_at_most(float(time_uniform_lower(inputs["k"], inputs["n"], down(inputs, "alpha"))), golden)


def correct_radii(inputs: Inputs) -> FloatArray:
    """Return the radii of the correctly classified images, ascending. An abstention is not correct."""
    pairs = zip(inputs["radius"], inputs["correct"], strict=True)
    return np.sort([floor_to_float(Fraction(radius)) for radius, correct in pairs if correct])


def check_average(inputs: Inputs, golden: str) -> None:
    assert_at_most(average_certified_radius(correct_radii(inputs), len(inputs["radius"])), golden)


def check_certified_accuracy(inputs: Inputs, golden: str) -> None:
    images, threshold = len(inputs["radius"]), down(inputs, "r")
    share = float(certified_accuracy(correct_radii(inputs), images, threshold, inputs["ball"]))
    assert share == float(Fraction(golden))


def check_memory(inputs: Inputs, golden: list[tuple[int, str]]) -> None:
    # Images are rounded to the nearest floats. That changes distances by less than radii are rounded down.
    memory = CertificateMemory("l1" if inputs["p"] == 1 else "l2")
    for (x, predicted, radius), (expected, expected_radius) in zip(inputs["sequence"], golden, strict=True):
        predicted_class = None if predicted == -1 else predicted
        verdict = memory.query(
            np.array([float(value) for value in x]), predicted_class, floor_to_float(Fraction(radius))
        )
        assert (-1 if verdict.predicted is None else verdict.predicted) == expected
        assert_at_most(verdict.radius, expected_radius)


CHECKS: dict[str, Callable[[Inputs, Any], None]] = {
    "cp_lower": check_lower,
    "cp_upper": check_upper,
    "cohen_l2": radius_of("cohen"),
    "cohen_certify_counts": check_votes_to_radius,
    "l1_lee_yang": radius_of("lee"),
    "l1_box_log": radius_of("box-log"),
    "l1_box_floor": radius_of("box"),
    "l1_box_image": radius_of("box-image"),
    "l1_overlap_min": check_overlap,
    "dssn": check_deterministic,
    "dssn_levels": check_levels,
    "split_center": check_centre_of_a_cell,
    "lecuyer_l2": radius_of("lecuyer"),
    "li_l2": radius_of("li"),
    "li_divergence": check_divergence,
    "cert_acc_lower": check_accuracy,
    "predict_pvalue": check_p_value,
    "linear_classifier": check_plane,
    "uniform_halfline": check_half_line,
    "hoeffding_width": check_width,
    "randomized_cp_lower": check_randomized,
    "anytime_lower": check_time_uniform,
    "acr": check_average,
    "certified_accuracy": check_certified_accuracy,
    "memory": check_memory,
}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["id"])
def test_results_agree_with_the_golden_value_on_the_safe_side(entry: dict[str, Any]) -> None:
    CHECKS[entry["fn"]](entry["inputs"], entry["value"])


def test_every_formula_has_golden_values() -> None:
    assert len({entry["id"] for entry in ENTRIES}) == len(ENTRIES) == 137
    assert {entry["fn"] for entry in ENTRIES} == set(CHECKS)
