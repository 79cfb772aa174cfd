"""From a measure's specification to the measure."""

import math
from typing import Protocol

import numpy as np

from rsbench.families import FAMILIES
from rsbench.plugins import import_object
from rsbench.smoothing.additive import GaussianSmoothing, GridUniformSmoothing, UniformSmoothing
from rsbench.smoothing.measure import SmoothingMeasure
from rsbench.smoothing.splitting import DeterministicSplittingSmoothing, GridSplittingSmoothing, SplittingSmoothing
from rsbench.specs import MeasureSpec

# Steps of noise in the range of a pixel: so many that rounding λ up to a whole number of them is not seen in a result.
_FINE = 1024


class MeasureFactory(Protocol):
    """What `rsbench.families.str.factory` names."""

    def __call__(
        self, spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool
    ) -> SmoothingMeasure:
        """Return the measure of a spec, as `build_measure` does."""


def build_measure(
    spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool = False
) -> SmoothingMeasure:
    """Return the smoothing measure of a spec, for images of that shape whose pixels are k/q.

    on_grid: draw the noise in whole numbers where it would else be drawn in float32. Deterministic splitting always is.
    Raises ValueError when whole numbers are asked for without a q or for noise that has none, and UsageError when the
    family is unknown or its factory cannot be imported.
    """
    family = FAMILIES.lookup(spec.family)
    factory: MeasureFactory = import_object(family.factory, f"factory of the smoothing measure {family.name!r}")
    if on_grid and not (family.supports_integer_noise or family.is_enumerated):
        raise ValueError(f"{family.name} noise cannot be drawn in whole numbers")
    if on_grid and q is None:
        raise ValueError("noise in whole numbers needs images on a grid k/q")
    return factory(spec, q=q, shape_CHW=shape_CHW, on_grid=on_grid)


def gaussian(spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool) -> SmoothingMeasure:
    """Return the Gaussian measure; see `build_measure`."""
    return GaussianSmoothing(std=_at_least(spec.sigma))


def uniform(spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool) -> SmoothingMeasure:
    """Return the uniform measure; see `build_measure`."""
    if on_grid and q is not None:
        return GridUniformSmoothing(*grid_of(spec.half_width, q))
    return UniformSmoothing(half_width=_at_least(spec.half_width))


def splitting(spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool) -> SmoothingMeasure:
    """Return the independent splitting measure; see `build_measure`."""
    if on_grid and q is not None:
        return GridSplittingSmoothing(*grid_of(spec.half_width, q))
    return SplittingSmoothing(half_width=_at_least(spec.half_width))


def deterministic_splitting(
    spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool
) -> SmoothingMeasure:
    """Return the deterministic splitting measure; see `build_measure`. Raises ValueError without a q."""
    if q is None or spec.levels is None or spec.offsets_seed is None:
        raise ValueError("deterministic splitting needs images on a grid k/q")
    return DeterministicSplittingSmoothing(spec.levels, spec.offsets_seed, q, shape_CHW)


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
