"""Two runs on the same images, compared pair by pair. Shapes: N images, T radii, B resamples."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from rsbench.records import BoolArray, FloatArray
from rsbench.theory.prediction import two_sided_coin_test

# Images that a thread draws together: more would not stay in its cache.
_AT_ONCE = 2**18


@dataclass(frozen=True)
class McNemar:
    """How many images only the first or only the second run certifies, and the p-value of their being equally many."""

    only_first: int
    only_second: int
    p_value: float


@dataclass(frozen=True)
class Interval:
    """A mean difference, first minus second, between its confidence limits."""

    low: float
    mean: float
    high: float


def exact_mcnemar(first_N: BoolArray, second_N: BoolArray) -> McNemar:
    """McNemar's exact test on the same images: is it the same share that both certify at a radius?

    Given that the runs differ on an image, each is the one that certifies it with probability ½ (McNemar 1947).
    first_N, second_N: whether a run is correct and certified at the radius.
    Raises ValueError when they differ in length.
    """
    _check_pairs(first_N, second_N)
    only_first, only_second = int((first_N & ~second_N).sum()), int((second_N & ~first_N).sum())
    return McNemar(only_first, only_second, float(two_sided_coin_test(only_first, only_second)))


def paired_bootstrap(
    first_N: FloatArray, second_N: FloatArray, *, seed: int, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Percentile bootstrap interval of the mean difference over images, such as that of two runs' ACR (Efron 1979).

    first_N, second_N: a value for each image, such as radius·[correct]; the same images in the same order.
    Raises ValueError when they differ in length, are empty or not finite, the confidence is not in (0, 1),
    or there are fewer than 100 resamples.
    """
    _check_pairs(first_N, second_N)
    if resamples < 100:
        raise ValueError(f"fewer than 100 resamples say nothing of an interval's ends, got {resamples}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"the confidence must lie in (0, 1), got {confidence}")
    if not (np.isfinite(first_N).all() and np.isfinite(second_N).all()):
        raise ValueError("an infinite radius has no mean: cap the radii first")
    difference_N = first_N - second_N
    mean = float(difference_N.mean())
    if len(difference_N) == 1 or (difference_N == difference_N[0]).all():
        # Every resample has the same mean.
        return Interval(mean, mean, mean)
    images, rows = len(difference_N), max(1, _AT_ONCE // len(difference_N))
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]

    def means(rng: np.random.Generator, size: int) -> FloatArray:
        return np.asarray(difference_N[rng.integers(images, size=(size, images))].mean(axis=1), dtype=np.float64)

    # NumPy lets other threads run while it draws. Each batch has its own stream, so their order changes nothing.
    with ThreadPoolExecutor() as pool:
        mean_B = np.concatenate(list(pool.map(means, np.random.default_rng(seed).spawn(len(sizes)), sizes)))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(mean_B, [tail, 1.0 - tail]).tolist()
    return Interval(low, mean, high)


def holm(p_value_T: FloatArray) -> FloatArray:
    """p-values corrected for asking at several radii: the chance of any false rejection stays below (Holm 1979).

    Raises ValueError when one is no probability.
    """
    if (wrong_T := ~((p_value_T >= 0.0) & (p_value_T <= 1.0))).any():
        raise ValueError(f"a p-value must lie in [0, 1], got {p_value_T[wrong_T][0]:g}")
    order_T = np.argsort(p_value_T)
    # The smallest counts once for each test, the next once for each that is left; none falls below a smaller one's.
    scaled_T = p_value_T[order_T] * np.arange(len(p_value_T), 0, -1)
    corrected_T = np.empty(len(p_value_T))
    corrected_T[order_T] = np.minimum(np.maximum.accumulate(scaled_T), 1.0)
    return corrected_T


def _check_pairs(first_N: BoolArray | FloatArray, second_N: BoolArray | FloatArray) -> None:
    if first_N.shape != second_N.shape or first_N.ndim != 1 or not len(first_N):
        raise ValueError(f"a paired comparison needs the same images twice, got {first_N.shape} and {second_N.shape}")
