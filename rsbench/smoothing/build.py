"""From a measure's specification to the measure."""

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
            return GaussianSmoothing(std=spec.sigma)
        case "uniform":
            return UniformSmoothing(half_width=spec.half_width)
        case "splitting":
            return SplittingSmoothing(half_width=spec.half_width)
        case "deterministic-splitting":
            if q is None or spec.levels is None or spec.offsets_seed is None:
                raise ValueError("deterministic splitting needs images on a grid k/q")
            return DeterministicSplittingSmoothing(spec.levels, spec.offsets_seed, q, shape_CHW)
