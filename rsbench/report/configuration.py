"""Runs that differ in nothing but their seed, and what they say together."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rsbench.errors import StoreError
from rsbench.methods import METHODS
from rsbench.records import CurveRecord, RunRecord, Tier
from rsbench.report.arithmetic import NOISE_TEXT
from rsbench.report.numbers import budget_text
from rsbench.specs import CertificationSpec, Spec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import GRID, Certificate
from rsbench.theory.rounding import radius_threshold

# A board asks for the same few radii of every configuration.
_threshold = lru_cache(maxsize=1024)(radius_threshold)


@dataclass(frozen=True)
class Approach:
    """A method with its certificate and budget: what a line of the board stands for.

    n and α are None where the law is enumerated, n0 also where an import does not tell it. `remark`: where the numbers
    come from (see `remark_of`), and `notes` what more a reader must know of them. `on_grid`: noise was whole numbers,
    and the certificate speaks of images on the grid. `variant` is empty, or tells apart
    runs of one seed that must not be averaged.
    """

    method: str
    family: str
    certificate: str
    procedure: str
    n_select: int | None
    n_estimate: int | None
    failure_probability: float | None
    remark: str = ""
    notes: tuple[str, ...] = ()
    on_grid: bool = False
    variant: str = ""
    trained_sigma: float | None = None
    """σ of the training where runs certify with another σ, else None."""

    @property
    def title(self) -> str:
        """The method as the board prints it, with the certificate and procedure where they are not its own."""
        known = METHODS.get(self.method)
        other = [] if known is None or known.certificate == self.certificate else [self.certificate]
        usual = "one-versus-rest" if known is None else known.procedure
        other += [] if self.procedure == usual else [self.procedure]
        return (known.title if known else self.method) + (f" ({', '.join(other)})" if other else "")

    @property
    def budget(self) -> str:
        """n0, n and α, or "exact"."""
        return budget_text(self.n_select, self.n_estimate, self.failure_probability)

    @property
    def label(self) -> str:
        """Remark and variant in one line, empty where there is neither."""
        return "; ".join(text for text in (self.remark, self._training_text, self.variant) if text)

    @property
    def caveats(self) -> str:
        """Remark and notes in one line, empty where there are none."""
        return "; ".join(text for text in (self.remark, self._training_text, *self.notes) if text)

    @property
    def _training_text(self) -> str:
        return "" if self.trained_sigma is None else f"trained at σ = {self.trained_sigma:g}"

    @property
    def theorem(self) -> Certificate:
        """The certificate that the numbers are of."""
        return CERTIFICATES[self.certificate]

    @property
    def threat_model(self) -> str:
        """Which perturbed images the certificate speaks of, under this method's noise."""
        return GRID if self.on_grid else self.theorem.threat_models[self.family]


@dataclass(frozen=True, eq=False)
class Configuration:
    """The runs of one approach, σ and protocol, each of another seed (see `seed_of`), in the order of their seeds."""

    approach: Approach
    sigma: float
    runs: tuple[RunRecord, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending; none of an imported run."""
        return tuple(seed for seed in map(seed_of, self.runs) if seed is not None)

    @property
    def images(self) -> int:
        """How many images each run certified."""
        return self.runs[0].image_count

    @property
    def clean_accuracy(self) -> float:
        """Share of images classified correctly by the smoothed classifier; an abstention is wrong."""
        return self._mean(curve_of(run).correct for run in self.runs)

    @property
    def abstention_rate(self) -> float:
        """Share of images on which the smoothed classifier abstained."""
        return self._mean(curve_of(run).abstained for run in self.runs)

    @property
    def average_certified_radius(self) -> float:
        """ACR: mean over images and seeds of the radius, zero where the class is wrong."""
        return statistics.fmean(curve_of(run).average_certified_radius for run in self.runs)

    @property
    def clean_spread(self) -> float | None:
        """Sample standard deviation over seeds of the clean accuracy; None where there is only one seed."""
        return sample_spread([curve_of(run).correct / self.images for run in self.runs])

    @property
    def average_radius_spread(self) -> float | None:
        """Sample standard deviation over seeds of the ACR; None where there is only one seed."""
        return sample_spread([curve_of(run).average_certified_radius for run in self.runs])

    def certified_accuracy(self, radius: str) -> float:
        """Mean over seeds of the share of images that are correct and certified at a radius, given as typed."""
        return self._mean(self._certified(radius))

    def spread(self, radius: str) -> float | None:
        """Sample standard deviation over seeds of that share; None where there is only one seed."""
        return sample_spread([count / self.images for count in self._certified(radius)])

    def _certified(self, radius: str) -> list[int]:
        threshold, at_least = _threshold(radius), self.approach.theorem.ball == "closed"
        return [curve_of(run).certified[threshold][at_least] for run in self.runs]

    def _mean(self, counts: Iterable[int]) -> float:
        # One division of whole numbers gives the float nearest to the mean, which can then be rounded down exactly.
        return sum(counts) / (self.images * len(self.runs))


def configurations(runs: Sequence[RunRecord]) -> list[Configuration]:
    """Sealed runs of one protocol, grouped so that only seeds are averaged.

    Runs of the same method, certificate, budget, training recipe and σ are one configuration when each has its own
    seed and its own checkpoint. Otherwise they differ in something that a mean would hide (other noise for one
    checkpoint, another batch size or device): each of these runs is then a configuration of its own, told apart by its
    checkpoint, or by its fingerprint where they share that too.

    Raises StoreError when a run declares a certificate that this version does not know.
    """
    cells: dict[tuple[Approach, float], list[RunRecord]] = defaultdict(list)
    for run, approach in zip(runs, _approaches(runs), strict=True):
        cells[(approach, run.sigma)].append(run)
    found = []
    for (approach, sigma), members in cells.items():
        members.sort(key=lambda run: (-1 if (seed := seed_of(run)) is None else seed, run.fingerprint))
        seeds, checkpoints = {seed_of(run) for run in members}, {run.checkpoint_sha256 for run in members}
        if len(seeds) == len(checkpoints) == len(members):
            found.append(Configuration(approach, sigma, tuple(members)))
        else:
            found += [Configuration(_single(approach, run, members), sigma, (run,)) for run in members]
    return found


def seed_of(run: RunRecord) -> int | None:
    """The seed that a run counts under: its checkpoint's training seed, or that of the votes for a foreign one.

    None of an imported run.
    """
    return run.seed if run.training_seed is None else run.training_seed


def sample_spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation, None of fewer than two values or where one is infinite."""
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


def curve_of(run: RunRecord) -> CurveRecord:
    """The curve of a sealed run."""
    assert run.curve is not None  # noqa: S101 - sealed runs have their curve
    return run.curve


def threat_model_of(run: RunRecord) -> str:
    """Which perturbed images a run's certificate speaks of. Raises StoreError where `certificate_of` does."""
    certificate = certificate_of(run)
    return GRID if run.spec.uses_integer_noise else certificate.threat_models[run.family]


def certificate_of(run: RunRecord) -> Certificate:
    """The certificate of a run's curve, or that it declared. Raises StoreError when this version does not know it."""
    name = run.certificate if run.curve is None else run.curve.certificate
    if name not in CERTIFICATES:
        raise StoreError(
            f"run {run.fingerprint[:12]} declares the certificate {name!r}, which this rsbench does not know: "
            "upgrade rsbench"
        )
    return CERTIFICATES[name]


TIER_TEXT: Mapping[Tier, str] = {
    "measured": "",
    "reproduced": "reproduced by another run",
    "imported-votes": "imported (votes)",
    "imported-radii": "imported (radii only)",
}


def remark_of(run: RunRecord) -> str:
    """Where the numbers of a curve come from, empty where the run measured them and declared them beforehand.

    That another run reproduced it is no part of this: such a run is averaged with its seeds as any other.
    """
    curve = run.curve
    told = [] if run.tier == "reproduced" else [TIER_TEXT[run.tier]]
    if curve is not None and curve.statement:
        told.append(f"stated afterwards to be declared in {curve.statement}")
    return "; ".join(text for text in told if text)


def curve_text(curve: CurveRecord) -> str:
    """Which certificate a curve is of, at which n and α, and whether that was declared beforehand."""
    exact = curve.failure_probability is None
    drawn = "exact" if exact else f"n {curve.n:,} · α {curve.failure_probability:g} · {curve.procedure}"
    return f"{curve.certificate} · {drawn} · {standing_text(curve)}"


def standing_text(curve: CurveRecord) -> str:
    """When the choices behind a curve were fixed, in words."""
    if curve.standing == "stated-afterwards":
        return f"stated afterwards to be declared in {curve.statement}"
    return curve.standing


# Fields of a specification with their values.
_Fields = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Recipe:
    """What runs share that may be averaged: how the checkpoint was trained and the votes were computed.

    Both are specification fields and their values. σ and seeds are left out.
    """

    training: _Fields
    votes: _Fields


_ARITHMETIC = frozenset(
    {"batch_size", "device", "precision", "noise", "channels_last", "torch_compile", "mixed_devices"}
)


def recipe_of(run: RunRecord) -> Recipe:
    """Return the recipe of a run. An external checkpoint stands for itself: how it was trained is not known."""
    if not isinstance(run.spec, CertificationSpec):
        return Recipe((("imported", run.spec.source),), ())
    training: _Fields = (("checkpoint", run.spec.checkpoint_sha256),)
    if run.training is not None:
        training = _fields(run.training, frozenset(type(run.training).model_fields) - {"seed", "measure"})
    return Recipe(training, _fields(run.spec, _ARITHMETIC))


def _fields(spec: Spec, names: frozenset[str]) -> _Fields:
    values = ((name, getattr(spec, name)) for name in sorted(names))
    return tuple((name, tuple(sorted(value.items())) if isinstance(value, dict) else value) for name, value in values)


def _approaches(runs: Sequence[RunRecord]) -> list[Approach]:
    """The approach of each run: a method that was trained by several recipes has one for each."""
    plain = [_approach(run) for run in runs]
    on_grid = {approach for approach in plain if approach.on_grid}
    plain = [_beside(approach, on_grid) for approach in plain]
    recipe_by_run = [recipe_of(run) for run in runs]
    recipes: dict[Approach, set[Recipe]] = defaultdict(set)
    for approach, recipe in zip(plain, recipe_by_run, strict=True):
        recipes[approach].add(recipe)
    named = {
        (approach, recipe): approach if len(several) == 1 else _variant(approach, _recipe_label(recipe, several))
        for approach, several in recipes.items()
        for recipe in several
    }
    return [named[approach, recipe] for approach, recipe in zip(plain, recipe_by_run, strict=True)]


def _beside(approach: Approach, on_grid: set[Approach]) -> Approach:
    """Told apart where the same was also drawn in whole numbers."""
    alike = not approach.on_grid and replace(approach, on_grid=True) in on_grid
    return replace(approach, variant="noise in float32") if alike else approach


def _approach(run: RunRecord) -> Approach:
    certificate, curve = certificate_of(run).name, curve_of(run)
    return Approach(
        run.method,
        run.family,
        certificate,
        curve.procedure,
        run.n_select,
        None if curve.failure_probability is None else curve.n,
        curve.failure_probability,
        remark_of(run),
        run.notes,
        run.spec.uses_integer_noise,
        trained_sigma=None if run.training_sigma in (None, run.sigma) else run.training_sigma,
    )


def _recipe_label(recipe: Recipe, several: set[Recipe]) -> str:
    """Name a recipe by the fields in which it differs from one of the others."""
    training = _differing(recipe.training, [other.training for other in several])
    votes = _differing(recipe.votes, [other.votes for other in several])
    names = [
        f"trained with {_field_text(*field)}" if field[0] in _ARITHMETIC else _field_text(*field) for field in training
    ]
    return ", ".join([*names, *(_field_text(*field) for field in votes)])


def _differing(fields: _Fields, several: Sequence[_Fields]) -> list[tuple[str, Any]]:
    """The fields that have another value, or none, in one of several specifications."""
    return [(name, value) for name, value in fields if any(dict(other).get(name) != value for other in several)]


def _field_text(name: str, value: Any) -> str:
    """A field of a specification and its value, as a row of the board names it."""
    match name:
        case "imported":
            return f"imported from {value} files"
        case "checkpoint":
            return f"checkpoint {value[:12]}"
        case "batch_size":
            return f"batch {value}"
        case "noise":
            return NOISE_TEXT[value]
        case "precision" | "device" | "architecture" | "objective":
            return str(value)
        case "channels_last" | "torch_compile" | "mixed_devices":
            return f"{'' if value else 'no '}{name.replace('_', ' ')}"
        case "objective_options":
            return " ".join(f"{option}={setting}" for option, setting in value) or "default options"
        case "dataset_fingerprint":
            return f"data {value[:12]}"
        case _:
            return f"{name.replace('_', ' ')} {value}"


def _single(approach: Approach, run: RunRecord, members: Sequence[RunRecord]) -> Approach:
    same_checkpoint = sum(other.checkpoint_sha256 == run.checkpoint_sha256 for other in members) > 1
    known = run.checkpoint_sha256 is not None and not same_checkpoint
    name = f"checkpoint {run.checkpoint_sha256}"[:23] if known else f"run {run.fingerprint[:12]}"
    return _variant(approach, name)


def _variant(approach: Approach, name: str) -> Approach:
    return replace(approach, variant=f"{approach.variant}, {name}".removeprefix(", "))
