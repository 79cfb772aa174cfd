"""Smoothed classifiers whose class probabilities are known exactly, sampled by the real measures and vote counters.

The votes of the true class are binomial with a known probability. They must lie in an interval that contains all but
10⁻⁶ of that distribution. The seed is fixed, so the outcome of a test never changes.
"""

import math

import pytest
import torch
from scipy.stats import binom, norm

from rsbench.certification.voting import VoteCounter
from rsbench.smoothing.measures import GaussianSmoothing, SmoothingMeasure, SplittingSmoothing, UniformSmoothing
from rsbench.smoothing.randomness import KeyedRandom, Stage
from rsbench.theory.confidence import clopper_pearson_lower
from rsbench.theory.gaussian_l2 import gaussian_l2_radius
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.uniform_l1 import lipschitz_l1_radius
from tests.fixtures.smoothing import HalfSpace

N = 20_000

pytestmark = pytest.mark.statistical


def votes_for(network: HalfSpace, measure: SmoothingMeasure, x: list[float]) -> tuple[int, int]:
    """Return the N votes on noisy copies of one image, by class."""
    x_CHW = torch.tensor(x).reshape(1, 1, -1)
    counter = VoteCounter(network, vote_rows=1, classes=2, device=torch.device("cpu"))
    for start in range(0, N, 1000):
        random = KeyedRandom.of(17, Stage.ESTIMATE, 0, range(start, start + 1000))
        counter.add(measure.perturb(x_CHW.expand(1000, *x_CHW.shape), random), torch.zeros(1000, dtype=torch.int64))
    first, second = counter.counts()[0].tolist()
    return first, second


def assert_binomial(votes: int, p: float) -> None:
    low, high = binom.interval(1 - 1e-6, N, p)
    assert low <= votes <= high


# (w, b, x, σ, class, distance to the plane, Φ(distance/σ))
LINEAR = [
    ([3.0, 4.0], -1.0, [1.0, 1.0], 0.5, 1, 1.2, 0.9918024640754038705556131),
    ([1.0, -1.0], 0.5, [0.0, 2.0], 0.25, 0, 1.060660171779821286601267, 0.9999889547515007072793136),
    ([1.0, -1.0], 0.5, [0.0, 1.0], 1.0, 0, 0.5 / math.sqrt(2), float(norm.cdf(0.5 / math.sqrt(2)))),
]


@pytest.mark.parametrize(("w", "b", "x", "sigma", "side", "distance", "p"), LINEAR)
def test_a_half_space_under_gaussian_noise(
    w: list[float], b: float, x: list[float], sigma: float, side: int, distance: float, p: float
) -> None:
    votes = votes_for(HalfSpace(w, b), GaussianSmoothing(sigma), x)[side]
    assert_binomial(votes, p)
    # The exact radius is the distance to the plane; the certified one stays inside it, and not far.
    lower = [p, float(clopper_pearson_lower(votes, N, 0.001))]
    exact, certified = gaussian_l2_radius(ProbabilityBounds.one_versus_rest(lower), sigma)
    assert exact == pytest.approx(distance, rel=1e-10)
    assert 0.75 * distance < certified < distance


# (x, λ, class, probability (|x| + λ)/2λ)
HALF_LINES = [(0.3, 1.0, 1, 0.65), (-0.2, 0.5, 0, 0.7), (0.45, 0.5, 1, 0.95)]


@pytest.mark.parametrize(("x", "half_width", "side", "p"), HALF_LINES)
def test_a_half_line_under_uniform_noise(x: float, half_width: float, side: int, p: float) -> None:
    votes = votes_for(HalfSpace([1.0], 0.0), UniformSmoothing(half_width), [x])[side]
    assert_binomial(votes, p)
    # The theorem is tight: the radius of the exact probability is the distance to the boundary.
    lower = [p, float(clopper_pearson_lower(votes, N, 0.001))]
    exact, certified = lipschitz_l1_radius(ProbabilityBounds.one_versus_rest(lower).gap_N, half_width)
    assert exact == pytest.approx(abs(x), rel=1e-12)
    assert 0.85 * abs(x) < certified < abs(x)


# A split at s turns x into s/2 where x ≤ s, and into (min(s, 1) + 1)/2 ≥ ½ where x > s: with λ ≥ ½ the copy exceeds ½
# exactly where x > s, which has probability x/2λ.
@pytest.mark.parametrize(("x", "half_width"), [(0.25, 0.5), (0.8, 0.5), (0.9, 0.75)])
def test_a_half_line_under_splitting_noise(x: float, half_width: float) -> None:
    votes = votes_for(HalfSpace([1.0], -0.5), SplittingSmoothing(half_width), [x])[1]
    assert_binomial(votes, x / (2 * half_width))
