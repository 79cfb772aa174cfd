"""Board entries, and the runs that are averaged because they differ only in their seeds."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from rsbench.methods import METHODS
from rsbench.records import CertifiedCounts, RunRecord
from rsbench.report.numbers import budget_text
from rsbench.report.run_facts import NOISE_TEXT, certificate_of, curve_of, remark_of, seed_of
from rsbench.specs import CertificationSpec, Spec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import GRID, Certificate
from rsbench.theory.rounding import radius_threshold

# A board asks for the same few radii of every configuration.
_threshold = lru_cache(maxsize=1024)(radius_threshold)


@dataclass(frozen=True)
class BoardEntry:
    """A line of the board: a method with its certificate and budget."""

    method: str
    family: str
    """Name of the family of the smoothing measure."""

    certificate: str
    procedure: str
    n_select: int | None
    """n0; None where the measure is enumerated, or where an import does not say it."""

    n_estimate: int | None
    """n; None where the measure is enumerated."""

    failure_probability: float | None
    """α; None where the measure is enumerated."""

    remark: str = ""
    """Where the numbers come from, see `remark_of`."""

    notes: tuple[str, ...] = ()
    """What else a reader must know of the numbers."""

    uses_integer_noise: bool = False
    """Whether the noise was drawn as integers, so that the certificate speaks of images on the grid."""

    variant: str = ""
    """What distinguishes the line from others of the same method that must not be averaged with it."""

    trained_sigma: float | None = None
    """σ of the training where runs certify with another σ, else None."""

    @property
    def title(self) -> str:
        """The method as the board prints it, with the certificate and procedure where they are not its own."""
        method = METHODS.get(self.method)
        differing = [] if method is None or method.certificate == self.certificate else [self.certificate]
        usual = "one-versus-rest" if method is None else method.procedure
        differing += [] if self.procedure == usual else [self.procedure]
        return (method.title if method else self.method) + (f" ({', '.join(differing)})" if differing else "")

    @property
    def budget(self) -> str:
        """n0, n and α, or "exact"."""
        return budget_text(self.n_select, self.n_estimate, self.failure_probability)

    @property
    def label(self) -> str:
        """Remark and variant in one line, empty where there is neither."""
        return "; ".join(text for text in (self.remark, self.training_text, self.variant) if text)

    @property
    def caveats(self) -> str:
        """Remark and notes in one line, empty where there are none."""
        return "; ".join(text for text in (self.remark, self.training_text, *self.notes) if text)

    @property
    def training_text(self) -> str:
        """The σ of the training where the runs certify with another one, else empty."""
        return "" if self.trained_sigma is None else f"trained at σ = {self.trained_sigma:g}"

    @property
    def theorem(self) -> Certificate:
        """The certificate that the numbers are of."""
        return CERTIFICATES[self.certificate]

    @property
    def threat_model(self) -> str:
        """Which perturbed images the certificate speaks of, under this method's noise."""
        return GRID if self.uses_integer_noise else self.theorem.threat_models[self.family]


@dataclass(frozen=True, eq=False)
class Configuration:
    """The runs of one board entry, σ and protocol, each with another seed (see `seed_of`), by seed."""

    entry: BoardEntry
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

    def certified_accuracy(self, radius: str, counts: CertifiedCounts) -> float:
        """Mean over seeds of the share of images that are correct and certified at a radius, given as typed.

        Raises KeyError when `counts` does not contain the curves at that radius.
        """
        return self._mean(self._certified(radius, counts))

    def certified_spread(self, radius: str, counts: CertifiedCounts) -> float | None:
        """Sample standard deviation over seeds of that share; None where there is only one seed."""
        return sample_spread([count / self.images for count in self._certified(radius, counts)])

    def _certified(self, radius: str, counts: CertifiedCounts) -> list[int]:
        threshold, ball = _threshold(radius), self.entry.theorem.ball
        return [counts.count(curve_of(run).id, threshold, ball) for run in self.runs]

    def _mean(self, counts: Iterable[int]) -> float:
        # One division of whole numbers gives the float nearest to the mean, which can then be rounded down exactly.
        return sum(counts) / (self.images * len(self.runs))


def configurations(runs: Sequence[RunRecord]) -> list[Configuration]:
    """Group sealed runs of one protocol so that only seeds are averaged.

    Runs of the same method, certificate, budget, training recipe and σ are one configuration if each has its own seed
    and its own checkpoint. Otherwise they differ in something that a mean would hide, such as the noise of the votes of
    one checkpoint. Each of these runs is then a configuration of its own, named by its checkpoint, or by its
    fingerprint where they share the checkpoint too.

    Raises UsageError when the certificate of a run is not known here.
    """
    cells: dict[tuple[BoardEntry, float], list[RunRecord]] = defaultdict(list)
    for run, entry in zip(runs, _entries(runs), strict=True):
        cells[entry, run.sigma].append(run)
    grouped = []
    for (entry, sigma), members in cells.items():
        members.sort(key=lambda run: (-1 if (seed := seed_of(run)) is None else seed, run.fingerprint))
        seeds, checkpoints = {seed_of(run) for run in members}, {run.checkpoint_sha256 for run in members}
        if len(seeds) == len(checkpoints) == len(members):
            grouped.append(Configuration(entry, sigma, tuple(members)))
        else:
            grouped += [Configuration(_single(entry, run, members), sigma, (run,)) for run in members]
    return grouped


def sample_spread(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation; None for fewer than two values or if one is infinite."""
    return statistics.stdev(values) if len(values) > 1 and all(map(math.isfinite, values)) else None


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


def _entries(runs: Sequence[RunRecord]) -> list[BoardEntry]:
    """Return the board entry of each run. Runs with different recipes have different entries."""
    plain = [_entry(run) for run in runs]
    with_integer_noise = {entry for entry in plain if entry.uses_integer_noise}
    plain = [_with_noise_named(entry, with_integer_noise) for entry in plain]
    recipe_by_run = [recipe_of(run) for run in runs]
    recipes: dict[BoardEntry, set[Recipe]] = defaultdict(set)
    for entry, recipe in zip(plain, recipe_by_run, strict=True):
        recipes[entry].add(recipe)
    named = {
        (entry, recipe): entry if len(several) == 1 else _variant(entry, _recipe_label(recipe, several))
        for entry, several in recipes.items()
        for recipe in several
    }
    return [named[entry, recipe] for entry, recipe in zip(plain, recipe_by_run, strict=True)]


def _entry(run: RunRecord) -> BoardEntry:
    curve = curve_of(run)
    return BoardEntry(
        method=run.method,
        family=run.family,
        certificate=certificate_of(run).name,
        procedure=curve.procedure,
        n_select=run.n_select,
        n_estimate=None if curve.failure_probability is None else curve.n,
        failure_probability=curve.failure_probability,
        remark=remark_of(run),
        notes=run.notes,
        uses_integer_noise=run.spec.uses_integer_noise,
        trained_sigma=None if run.training_sigma in (None, run.sigma) else run.training_sigma,
    )


def _with_noise_named(entry: BoardEntry, with_integer_noise: set[BoardEntry]) -> BoardEntry:
    """Name the noise of an entry if the board has the same entry with integer noise."""
    has_counterpart = not entry.uses_integer_noise and replace(entry, uses_integer_noise=True) in with_integer_noise
    return replace(entry, variant=NOISE_TEXT["philox4x32-float"]) if has_counterpart else entry


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


def _single(entry: BoardEntry, run: RunRecord, members: Sequence[RunRecord]) -> BoardEntry:
    """Return the entry of a run that must not be averaged with the other members of its cell."""
    sha256 = run.checkpoint_sha256
    is_only_run_of_checkpoint = sum(other.checkpoint_sha256 == sha256 for other in members) == 1
    name = f"run {run.fingerprint[:12]}"
    if sha256 is not None and is_only_run_of_checkpoint:
        name = f"checkpoint {sha256[:12]}"
    return _variant(entry, name)


def _variant(entry: BoardEntry, name: str) -> BoardEntry:
    return replace(entry, variant=f"{entry.variant}, {name}".removeprefix(", "))
