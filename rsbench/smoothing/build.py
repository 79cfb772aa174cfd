"""From a measure's specification to the measure."""

import numpy as np

from rsbench.smoothing.additive import GaussianSmoothing, UniformSmoothing
from rsbench.smoothing.measure import SmoothingMeasure
from rsbench.smoothing.splitting import DeterministicSplittingSmoothing, SplittingSmoothing
from rsbench.specs import MeasureSpec


def build_measure(spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int]) -> SmoothingMeasure:
    """The smoothing measure of a spec, for images of that shape and quantisation.

    Raises ValueError when deterministic splitting is asked for without a q.
    """
    match spec.family:
        case "gaussian":
            return GaussianSmoothing(std=_at_least(spec.sigma))
        case "uniform":
            return UniformSmoothing(half_width=_at_least(spec.half_width))
        case "splitting":
            return SplittingSmoothing(half_width=_at_least(spec.half_width))
        case "deterministic-splitting":
            if q is None or spec.levels is None or spec.offsets_seed is None:
                raise ValueError("deterministic splitting needs images on a grid k/q")
            return DeterministicSplittingSmoothing(spec.levels, spec.offsets_seed, q, shape_CHW)


def _at_least(scale: float) -> float:
    """The smallest float32 ≥ `scale`. Noise is scaled in float32; that of a slightly wider law than the certificate
    speaks of keeps the certificate true, that of a narrower one would not."""
    rounded = np.float32(scale)
    return float(rounded if float(rounded) >= scale else np.nextafter(rounded, np.float32(np.inf)))
