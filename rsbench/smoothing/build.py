"""From a measure's specification to the measure."""

import math

import numpy as np

from rsbench.smoothing.additive import GaussianSmoothing, GridUniformSmoothing, UniformSmoothing
from rsbench.smoothing.measure import SmoothingMeasure
from rsbench.smoothing.splitting import DeterministicSplittingSmoothing, GridSplittingSmoothing, SplittingSmoothing
from rsbench.specs import MeasureSpec

# Steps of noise in the range of a pixel: so many that rounding λ up to a whole number of them is not seen in a result.
_FINE = 1024


def build_measure(
    spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool = False
) -> SmoothingMeasure:
    """The smoothing measure of a spec, for images of that shape and quantisation.

    `on_grid`: in whole numbers, where noise is otherwise drawn in float32; deterministic splitting always is.
    Raises ValueError when whole numbers are asked for without a q, or for Gaussian noise.
    """
    match spec.family:
        case "deterministic-splitting":
            if q is None or spec.levels is None or spec.offsets_seed is None:
                raise ValueError("deterministic splitting needs images on a grid k/q")
            return DeterministicSplittingSmoothing(spec.levels, spec.offsets_seed, q, shape_CHW)
        case "gaussian":
            if on_grid:
                raise ValueError("Gaussian noise is not made in whole numbers")
            return GaussianSmoothing(std=_at_least(spec.sigma))
        case "uniform" | "splitting" if on_grid:
            if q is None:
                raise ValueError("noise in whole numbers needs images on a grid k/q")
            grid_noise = GridUniformSmoothing if spec.family == "uniform" else GridSplittingSmoothing
            return grid_noise(*grid_of(spec.half_width, q))
        case "uniform":
            return UniformSmoothing(half_width=_at_least(spec.half_width))
        case "splitting":
            return SplittingSmoothing(half_width=_at_least(spec.half_width))


def grid_of(half_width: float, q: int) -> tuple[int, int, int]:
    """L, q and m of noise in steps of 1/mq, of which a pixel's range holds 1024 at least.

    L = ⌈2λmq⌉: the law is at least as wide as the one that the certificate speaks of, by a step at most. A radius of
    the theorems for these laws grows with λ, so the certificate of λ ≤ L/2mq is true of it.
    """
    m = max(1, math.ceil(_FINE / q))
    return max(1, math.ceil(2.0 * half_width * m * q)), q, m


def _at_least(scale: float) -> float:
    """The smallest float32 ≥ `scale`. Noise is scaled in float32; that of a slightly wider law than the certificate
    speaks of keeps the certificate true, that of a narrower one would not."""
    rounded = np.float32(scale)
    return float(rounded if float(rounded) >= scale else np.nextafter(rounded, np.float32(np.inf)))
