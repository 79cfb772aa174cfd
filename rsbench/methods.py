"""The methods of the papers: each name stands for a point on the axes measure × objective × certificate × bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rsbench.errors import UsageError
from rsbench.families import FAMILIES, Family
from rsbench.plugins import Registry
from rsbench.specs import MeasureSpec, Procedure, TrainingSpec, deterministic_levels


@dataclass(frozen=True)
class Method:
    """A named combination of how a base classifier is trained and how it is certified."""

    name: str
    """How the command line and specifications name the method."""

    title: str
    """How the board names it."""

    family: str
    """Name of the family of smoothing measures (`rsbench.families`)."""

    objective: str
    """Name of the training objective (`rsbench.training.objectives`)."""

    certificate: str
    """Name of the certificate that is declared unless another one is asked for (`rsbench.theory.catalogue`)."""

    paper: str
    procedure: Procedure = "one-versus-rest"
    """How votes become bounds on the class probabilities, unless another way is asked for."""

    objective_options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """Parameters of the objective that differ from its defaults."""

    @property
    def is_enumerated(self) -> bool:
        """Whether every noisy copy is evaluated, so that there is no sampling and no α."""
        return self.measure_family.is_enumerated

    @property
    def measure_family(self) -> Family:
        """The family of smoothing measures. Raises UsageError when its plugin is not loaded."""
        return FAMILIES.lookup(self.family)

    @property
    def training(self) -> str:
        """Name of the method whose checkpoints this one certifies: the first with the same measure and objective."""
        axes = (self.family, self.objective, dict(self.objective_options))
        return next(m.name for m in METHODS.values() if (m.family, m.objective, dict(m.objective_options)) == axes)


_AUGMENTATION = "noise-augmentation"


def _check_method(name: str, method: Method) -> None:
    if method.name != name:
        raise ValueError(f"its attribute `name` is {method.name!r}")
    if method.family not in FAMILIES:
        raise ValueError(f"its smoothing measure {method.family!r} is not registered")


METHODS: Registry[Method] = Registry(
    "method",
    Method,
    {
        method.name: method
        for method in (
            Method("cohen", "Gaussian", "gaussian", _AUGMENTATION, "cohen", "Cohen et al. 2019"),
            Method("uniform", "Uniform", "uniform", _AUGMENTATION, "lee", "Yang et al. 2020"),
            Method("uniform++", "Uniform++", "uniform", _AUGMENTATION, "box", "Voracek & Hein 2023", "top-two"),
            Method("ssn", "SSN", "splitting", _AUGMENTATION, "lee", "Levine & Feizi 2021"),
            Method("split++", "Split++", "splitting", _AUGMENTATION, "box", "Voracek & Hein 2023", "top-two"),
            Method("dssn", "DSSN", "deterministic-splitting", _AUGMENTATION, "dssn", "Levine & Feizi 2021"),
        )
    },
    check=_check_method,
)
"""Every method. A plugin adds its own with `METHODS.register(method.name, method)`."""

# 2·√3·σ·q splits must stay below 2³¹, which the offsets' generator needs. No machine evaluates nearly as many.
_LARGEST_SIGMA_Q = 5e8


def title_of(name: str) -> str:
    """Return the method as the board names it; the name itself for a method that is not registered."""
    return METHODS[name].title if name in METHODS else name


def place_of(name: str) -> tuple[int, str]:
    """Return a sort key that puts registered methods in their order and all others after them."""
    return (list(METHODS).index(name) if name in METHODS else len(METHODS)), name


def method_named(name: str) -> Method:
    """Return the method of that name. Raises UsageError when there is none."""
    return METHODS.lookup(name)


def training_name(trial: TrainingSpec) -> str:
    """Return the name of the method that stands for the trial's measure and objective.

    Raises UsageError when no registered method has them.
    """
    axes = (trial.measure.family, trial.objective, dict(trial.objective_options))
    for method in METHODS.values():
        if (method.family, method.objective, dict(method.objective_options)) == axes:
            return method.name
    raise UsageError(f"no method trains {trial.measure.family} noise by {trial.objective}: load its plugin")


def method_certifying(training: Method, certificate: str, procedure: str) -> Method:
    """Return the method that certifies the checkpoints of `training` by this certificate and procedure.

    That is the method which the papers name so, and `training` itself where they have no name for it.
    """
    for method in METHODS.values():
        if (method.training, method.certificate, method.procedure) == (training.training, certificate, procedure):
            return method
    return training


def measure_for(method: Method, sigma: float, *, q: int | None, offsets_seed: int) -> MeasureSpec:
    """Return the method's measure of standard deviation σ, for images on the grid k/q.

    Raises UsageError when σ is out of range, and when an enumerated measure is asked for images on no grid or for fewer
    than two splits.
    """
    if not 1e-6 <= sigma <= 1e6:
        raise UsageError(f"sigma must lie between 1e-6 and 1e6, in units of the pixel range, got {sigma:g}")
    if not method.is_enumerated:
        return MeasureSpec(family=method.family, sigma=sigma)
    if q is None:
        raise UsageError(f"{method.name} needs images on a grid k/q, and these lie on none: quantise them or use ssn")
    if sigma * q > _LARGEST_SIGMA_Q:
        raise UsageError(
            f"sigma {sigma:g} is too large for {method.name} at q = {q}: it would evaluate over a billion splits"
        )
    levels = deterministic_levels(sigma, q)
    if levels < 2:
        raise UsageError(f"sigma {sigma:g} leaves {method.name} with {levels} splits at q = {q}: it needs at least 2")
    return MeasureSpec(family=method.family, sigma=sigma, levels=levels, offsets_seed=offsets_seed)
