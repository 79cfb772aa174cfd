"""Methods: named combinations of measure, objective, choice of σ, certificate and procedure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rsbench.errors import UsageError
from rsbench.families import FAMILIES, Family
from rsbench.plugins import Registry
from rsbench.specs import MeasureSpec, Procedure, TrainingSpec, deterministic_levels


@dataclass(frozen=True)
class Method:
    """How a base classifier is trained and how it is certified, under the name that the papers use."""

    name: str
    """How the command line and specifications name the method."""

    title: str
    """How the board names it."""

    family: str
    """Name of the family of smoothing measures (`rsbench.families`)."""

    objective: str
    """Name of the training objective (`rsbench.training.objectives`)."""

    certificate: str
    """Name of the default certificate (`rsbench.theory.catalogue`)."""

    paper: str
    """Authors and year of the paper that the method is from."""

    procedure: Procedure = "one-versus-rest"
    """How votes become bounds on the class probabilities by default."""

    objective_options: Mapping[str, bool | int | float | str] = field(default_factory=dict)
    """Parameters of the objective that differ from its defaults."""

    @property
    def is_enumerated(self) -> bool:
        """Whether every split is evaluated, so that there is no sampling and no α."""
        return self.measure_family.is_enumerated

    @property
    def measure_family(self) -> Family:
        """The family of smoothing measures. Raises UsageError when its plugin is not loaded."""
        return FAMILIES.lookup(self.family)

    @property
    def training(self) -> str:
        """Name of the method whose checkpoints this one certifies: the first with the same family and objective."""
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

# Keeps the number of splits, 2·√3·σ·q, below 2³¹, as the generator of the offsets requires.
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
    """Return the name of the first method with the trial's family and objective, which names its checkpoint.

    Raises UsageError when no registered method has them.
    """
    axes = (trial.measure.family, trial.objective, dict(trial.objective_options))
    for method in METHODS.values():
        if (method.family, method.objective, dict(method.objective_options)) == axes:
            return method.name
    raise UsageError(f"no method trains {trial.measure.family} noise by {trial.objective}: load its plugin")


def method_certifying(training: Method, certificate: str, procedure: str) -> Method:
    """Return the method that certifies the checkpoints of `training` by this certificate and procedure.

    If no method is defined by them, this is `training` itself.
    """
    for method in METHODS.values():
        if (method.training, method.certificate, method.procedure) == (training.training, certificate, procedure):
            return method
    return training


def measure_for(method: Method, sigma: float, *, q: int | None, offsets_seed: int) -> MeasureSpec:
    """Return the method's measure with standard deviation σ.

    q: pixels are k/q; None if they lie on no grid. offsets_seed: seed of the offsets of an exact measure.
    Raises UsageError when σ is out of range, and for an exact measure also when the images lie on no grid or σ leaves
    fewer than two splits.
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
