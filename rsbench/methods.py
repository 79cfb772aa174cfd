"""The papers as a table: which measure a method smooths with, how it trains, which certificate it declares."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from rsbench.errors import UsageError
from rsbench.specs import Family, MeasureSpec, deterministic_levels


@dataclass(frozen=True)
class Method:
    """One line of the table. `title` is what the board prints, `paper` where it comes from."""

    name: str
    title: str
    family: Family
    objective: Literal["noise-augmentation"]
    certificate: str
    paper: str

    @property
    def enumerated(self) -> bool:
        """Whether every noisy copy is visited, so that there is no sampling and no α."""
        return self.family == "deterministic-splitting"


METHODS = MappingProxyType(
    {
        m.name: m
        for m in (
            Method("cohen", "Gaussian", "gaussian", "noise-augmentation", "cohen", "Cohen et al. 2019"),
            Method("uniform", "Uniform", "uniform", "noise-augmentation", "lee", "Yang et al. 2020"),
            Method("ssn", "SSN", "splitting", "noise-augmentation", "lee", "Levine & Feizi 2021"),
            Method("dssn", "DSSN", "deterministic-splitting", "noise-augmentation", "dssn", "Levine & Feizi 2021"),
        )
    }
)

# 2·√3·σ·q splits must stay below 2³¹, which the offsets' generator needs; long before that nobody can visit them.
_LARGEST_SIGMA_Q = 5e8


def title_of(name: str) -> str:
    """The method as the board prints it; of another origin, its name."""
    return METHODS[name].title if name in METHODS else name


def place_of(name: str) -> tuple[int, str]:
    """Sorts methods as the table has them, those of another origin last."""
    return (list(METHODS).index(name) if name in METHODS else len(METHODS)), name


def method_named(name: str) -> Method:
    """The method of that name. Raises UsageError when there is none."""
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}: choose from {', '.join(METHODS)}")
    return METHODS[name]


def measure_for(method: Method, sigma: float, *, q: int | None, offsets_seed: int) -> MeasureSpec:
    """The method's measure at standard deviation σ, for images on the grid k/q.

    Raises UsageError when σ is not positive, or DSSN is asked for images on no grid or for fewer than two splits.
    """
    if not 1e-6 <= sigma <= 1e6:
        raise UsageError(f"sigma must lie between 1e-6 and 1e6, in units of the pixel range, got {sigma:g}")
    if not method.enumerated:
        return MeasureSpec(family=method.family, sigma=sigma)
    if q is None:
        raise UsageError(f"{method.name} needs images on a grid k/q, and these lie on none: quantise them or use ssn")
    if sigma * q > _LARGEST_SIGMA_Q:
        raise UsageError(
            f"sigma {sigma:g} is too large for {method.name} at q = {q}: it would visit over a billion splits"
        )
    levels = deterministic_levels(sigma, q)
    if levels < 2:
        raise UsageError(f"sigma {sigma:g} leaves {method.name} with {levels} splits at q = {q}: it needs at least 2")
    return MeasureSpec(family=method.family, sigma=sigma, levels=levels, offsets_seed=offsets_seed)
