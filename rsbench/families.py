"""Families of smoothing measures: what rsbench knows of a measure without importing torch.

A plugin adds its own with `FAMILIES.register(family.name, family)`.
"""

from dataclasses import dataclass

from rsbench.plugins import Registry


@dataclass(frozen=True)
class Family:
    """A family of noise distributions; a `MeasureSpec` picks one member by its standard deviation."""

    name: str
    """How specifications and the command line name the family."""

    description: str
    """The joint distribution of the noise, as an error message states it."""

    factory: str
    """Import path `package.module:function` of the function that builds the torch measure.

    The function is called as `function(spec, q=…, shape_CHW=…, on_grid=…)` and returns a
    `rsbench.smoothing.measures.SmoothingMeasure`. It is imported only where noise is drawn.
    """

    is_enumerated: bool = False
    """Whether certification evaluates every split, so that there is no sampling and no α."""

    supports_integer_noise: bool = False
    """Whether the noise can be drawn as integers for images on the grid k/q."""


_BUILD = "rsbench.smoothing.build"

FAMILIES: Registry[Family] = Registry(
    "smoothing measure",
    Family,
    {
        family.name: family
        for family in (
            Family("gaussian", "Gaussian noise, isotropic", f"{_BUILD}:gaussian"),
            Family(
                "uniform",
                "uniform noise, independent across coordinates",
                f"{_BUILD}:uniform",
                supports_integer_noise=True,
            ),
            Family(
                "splitting",
                "splitting noise, independent across coordinates",
                f"{_BUILD}:splitting",
                supports_integer_noise=True,
            ),
            Family(
                "deterministic-splitting",
                "splitting noise whose coordinates share one base offset, with every split evaluated",
                f"{_BUILD}:deterministic_splitting",
                is_enumerated=True,
            ),
        )
    },
)
