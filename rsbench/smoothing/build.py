"""Construction of smoothing measures from their specifications, one factory per family of `rsbench.families`."""

from typing import Protocol

import numpy as np

from rsbench.families import FAMILIES
from rsbench.plugins import import_object
from rsbench.smoothing.grid import integer_noise_parameters
from rsbench.smoothing.measures import (
    DeterministicSplittingSmoothing,
    GaussianSmoothing,
    GridSplittingSmoothing,
    GridUniformSmoothing,
    SmoothingMeasure,
    SplittingSmoothing,
    UniformSmoothing,
)
from rsbench.specs import MeasureSpec


class MeasureFactory(Protocol):
    """The function that `rsbench.families.Family.factory` names."""

    def __call__(
        self, spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool
    ) -> SmoothingMeasure:
        """Return the measure of a specification; see `build_measure` for the arguments.

        `on_grid` is True only if the family supports it and `q` is not None.
        """


def build_measure(
    spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool = False
) -> SmoothingMeasure:
    """Return the smoothing measure of a specification for images of one shape.

    Parameters
    ----------
    spec
        Family and parameters of the measure.
    q
        Pixels are k/q; None for images that lie on no grid.
    shape_CHW
        Channels, height and width of an image.
    on_grid
        Whether noise is drawn as integers where the family would otherwise draw it in float32. Deterministic splitting
        always uses integers.

    Raises ValueError if integers are needed and there is no q or the family has no integer noise, and UsageError if
    the family is unknown or its factory cannot be imported.
    """
    family = FAMILIES.lookup(spec.family)
    factory: MeasureFactory = import_object(family.factory, f"factory of the smoothing measure {family.name!r}")
    if on_grid and not (family.supports_integer_noise or family.is_enumerated):
        raise ValueError(f"{family.name} noise cannot be drawn as integers")
    if on_grid and q is None:
        raise ValueError("integer noise needs images on a grid k/q, and these lie on none")
    return factory(spec, q=q, shape_CHW=shape_CHW, on_grid=on_grid)


def gaussian(spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool) -> SmoothingMeasure:
    """Return Gaussian noise; see `MeasureFactory`."""
    return GaussianSmoothing(std=_float32_not_below(spec.sigma))


def uniform(spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool) -> SmoothingMeasure:
    """Return uniform noise; see `MeasureFactory`."""
    if on_grid and q is not None:
        return GridUniformSmoothing(*integer_noise_parameters(spec.half_width, q))
    return UniformSmoothing(half_width=_float32_not_below(spec.half_width))


def splitting(spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool) -> SmoothingMeasure:
    """Return independent splitting noise; see `MeasureFactory`."""
    if on_grid and q is not None:
        return GridSplittingSmoothing(*integer_noise_parameters(spec.half_width, q))
    return SplittingSmoothing(half_width=_float32_not_below(spec.half_width))


def deterministic_splitting(
    spec: MeasureSpec, *, q: int | None, shape_CHW: tuple[int, int, int], on_grid: bool
) -> SmoothingMeasure:
    """Return deterministic splitting noise; see `MeasureFactory`. Raises ValueError without q, levels or offsets."""
    if q is None or spec.levels is None or spec.offsets_seed is None:
        raise ValueError("deterministic splitting needs images on a grid k/q, levels and offsets_seed")
    return DeterministicSplittingSmoothing(spec.levels, spec.offsets_seed, q, shape_CHW)


def _float32_not_below(scale: float) -> float:
    """Return the smallest float32 ≥ `scale`.

    Noise is scaled in float32. A certificate remains true for noise that is slightly wider than it states, but not for
    narrower noise.
    """
    rounded = np.float32(scale)
    return float(rounded if float(rounded) >= scale else np.nextafter(rounded, np.float32(np.inf)))
