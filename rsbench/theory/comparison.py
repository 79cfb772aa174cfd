"""Statistical comparison of two runs on the same images: McNemar's test, the paired bootstrap, Holm's correction.

Shapes: N images, T radii, B bootstrap samples.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rsbench.records import BoolArray, FloatArray
from rsbench.theory.prediction import two_sided_coin_test

# How many indices a thread draws at a time; more would not fit into its cache.
_INDICES_PER_BATCH = 2**18


@dataclass(frozen=True)
class McNemar:
    """Result of McNemar's exact test."""

    only_first: int
    """How many images only the first run certifies."""

    only_second: int
    """How many images only the second run certifies."""

    p_value: float
    """p-value of the hypothesis that both runs certify the same share of images."""


@dataclass(frozen=True)
class Interval:
    """Confidence interval [`low`, `high`] of a mean difference, first minus second, around the observed `mean`."""

    low: float
    mean: float
    high: float


def exact_mcnemar(first_N: BoolArray, second_N: BoolArray) -> McNemar:
    """Test whether two runs certify the same share of images at a radius (McNemar 1947, exact form).

    Only the images that one run certifies and the other does not carry information. Under the hypothesis, each of them
    is certified by either run with probability ½.

    first_N, second_N: for each image, whether the run is correct and certified at the radius.
    Raises ValueError when they are empty or differ in length.
    """
    _check_pairs(first_N, second_N)
    only_first, only_second = int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum())
    return McNemar(only_first, only_second, float(two_sided_coin_test(only_first, only_second)))


def paired_bootstrap(
    first_N: FloatArray, second_N: FloatArray, *, seed: int, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Return the percentile bootstrap interval of a mean difference over images (Efron 1979).

    For example, with radius·[correct] as values this compares the average certified radius of two runs.

    first_N, second_N: one value for each image, finite; the same images in the same order.
    seed: the result is a function of the values and the seed. confidence: coverage of the interval, in (0, 1).
    resamples: B ≥ 100.
    Raises ValueError when an argument is out of range, or the arrays are empty or differ in length.
    """
    _check_pairs(first_N, second_N)
    if resamples < 100:
        raise ValueError(f"fewer than 100 resamples cannot locate the ends of an interval, got {resamples}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"the confidence must lie in (0, 1), got {confidence}")
    if not (np.isfinite(first_N).all() and np.isfinite(second_N).all()):
        raise ValueError("an infinite radius has no mean: cap the radii first")
    difference_N = first_N - second_N
    mean = float(difference_N.mean())
    if len(difference_N) == 1 or (difference_N == difference_N[0]).all():
        # Every resample has the same mean.
        return Interval(mean, mean, mean)
    images, rows = len(difference_N), max(1, _INDICES_PER_BATCH // len(difference_N))
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]

    def means(rng: np.random.Generator, size: int) -> FloatArray:
        return np.asarray(difference_N[rng.integers(images, size=(size, images))].mean(axis=1), dtype=np.float64)

    # NumPy releases the interpreter lock while it draws, so threads run in parallel. Each batch has a random stream of
    # its own, so their order does not affect the result.
    with ThreadPoolExecutor() as pool:
        mean_B = np.concatenate(list(pool.map(means, np.random.default_rng(seed).spawn(len(sizes)), sizes)))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(mean_B, [tail, 1.0 - tail]).tolist()
    return Interval(low, mean, high)


def holm(p_value_T: FloatArray) -> FloatArray:
    """Correct p-values for testing at T radii: the chance of any false rejection stays at most α (Holm 1979).

    Returns the corrected p-values in the order of the input. Raises ValueError when one is not in [0, 1].
    """
    if (invalid_T := ~((p_value_T >= 0.0) & (p_value_T <= 1.0))).any():
        raise ValueError(f"a p-value must lie in [0, 1], got {p_value_T[invalid_T][0]:g}")
    order_T = np.argsort(p_value_T)
    # The smallest p-value is multiplied by T, the next by T − 1, and so on; the result is made non-decreasing.
    scaled_T = p_value_T[order_T] * np.arange(len(p_value_T), 0, -1)
    corrected_T = np.empty(len(p_value_T))
    corrected_T[order_T] = np.minimum(np.maximum.accumulate(scaled_T), 1.0)
    return corrected_T


def _check_pairs(first_N: BoolArray | FloatArray, second_N: BoolArray | FloatArray) -> None:
    if first_N.shape != second_N.shape or first_N.ndim != 1 or not len(first_N):
        raise ValueError(f"a paired comparison needs the same images twice, got {first_N.shape} and {second_N.shape}")
