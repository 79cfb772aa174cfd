"""Runs that differ in nothing but their seed, and what they say together."""

import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from rsbench.errors import StoreError
from rsbench.methods import METHODS
from rsbench.records import RunRecord
from rsbench.report.numbers import budget_text
from rsbench.specs import Family
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Certificate
from rsbench.theory.metrics import certified_accuracy
from rsbench.theory.rounding import radius_threshold


@dataclass(frozen=True)
class Approach:
    """A method with its certificate and budget: what a line of the board stands for.

    The budget is None in all three parts where the law is enumerated. `variant` is empty, or tells apart runs of one
    seed that must not be averaged.
    """

    method: str
    certificate: str
    n_select: int | None
    n_estimate: int | None
    failure_probability: float | None
    variant: str = ""

    @property
    def title(self) -> str:
        """The method as the board prints it."""
        return METHODS[self.method].title if self.method in METHODS else self.method

    @property
    def budget(self) -> str:
        """n0, n and α, or "exact"."""
        return budget_text(self.n_select, self.n_estimate, self.failure_probability)

    @property
    def theorem(self) -> Certificate:
        """The certificate that was declared before the run."""
        return CERTIFICATES[self.certificate]

    @property
    def threat_model(self) -> str:
        """Which perturbed images the certificate speaks of, under this method's noise."""
        if self.method not in METHODS:
            return self.theorem.threat_model
        return self.theorem.threat_models[METHODS[self.method].family]


@dataclass(frozen=True, eq=False)
class Configuration:
    """The runs of one approach, σ and protocol, each of another seed (see `seed_of`), in the order of their seeds."""

    approach: Approach
    sigma: float
    runs: tuple[RunRecord, ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds, ascending."""
        return tuple(seed_of(run) for run in self.runs)

    @property
    def images(self) -> int:
        """How many images each run certified."""
        return self.runs[0].image_count

    @property
    def clean_accuracy(self) -> float:
        """Share of images classified correctly by the smoothed classifier; an abstention is wrong."""
        return self._mean(run.summary.correct for run in self.runs if run.summary)

    @property
    def abstention_rate(self) -> float:
        """Share of images on which the smoothed classifier abstained."""
        return self._mean(run.summary.abstained for run in self.runs if run.summary)

    @property
    def average_certified_radius(self) -> float:
        """ACR: mean over images and seeds of the radius, zero where the class is wrong."""
        return statistics.fmean(run.summary.average_certified_radius for run in self.runs if run.summary)

    @property
    def clean_spread(self) -> float | None:
        """Sample standard deviation over seeds of the clean accuracy; None where there is only one seed."""
        return sample_spread([run.summary.correct / self.images for run in self.runs if run.summary])

    @property
    def average_radius_spread(self) -> float | None:
        """Sample standard deviation over seeds of the ACR; None where there is only one seed."""
        return sample_spread([run.summary.average_certified_radius for run in self.runs if run.summary])

    def certified_accuracy(self, radius: str) -> float:
        """Mean over seeds of the share of images that are correct and certified at a radius, given as typed."""
        return self._mean(self._certified(radius))

    def spread(self, radius: str) -> float | None:
        """Sample standard deviation over seeds of that share; None where there is only one seed."""
        return sample_spread([count / self.images for count in self._certified(radius)])

    def _certified(self, radius: str) -> list[int]:
        ball, threshold = self.approach.theorem.ball, radius_threshold(radius)
        shares = (certified_accuracy(run_radii(run), run.image_count, threshold, ball) for run in self.runs)
        return [round(float(share) * self.images) for share in shares]

    def _mean(self, counts: Iterable[int]) -> float:
        # One division of whole numbers gives the float nearest to the mean, which can then be rounded down exactly.
        return float(Fraction(sum(counts), self.images * len(self.runs)))


def configurations(runs: Sequence[RunRecord]) -> list[Configuration]:
    """Sealed runs of one protocol, grouped so that only seeds are averaged.

    Runs of the same method, certificate, budget, training recipe and σ are one configuration when each has its own
    seed and its own checkpoint. Otherwise they differ in something that a mean would hide (other noise for one
    checkpoint, another batch size or device): each of these runs is then a configuration of its own, told apart by its
    checkpoint, or by its fingerprint where they share that too.

    Raises StoreError when a run declares a certificate that this version does not know.
    """
    approach_of = _approaches(runs)
    cells: dict[tuple[Approach, float], list[RunRecord]] = defaultdict(list)
    for run in runs:
        cells[(approach_of[run.fingerprint], run.sigma)].append(run)
    found = []
    for (approach, sigma), members in cells.items():
        members.sort(key=lambda run: (seed_of(run), run.fingerprint))
        seeds, checkpoints = {seed_of(run) for run in members}, {run.checkpoint_sha256 for run in members}
        if len(seeds) == len(checkpoints) == len(members):
            found.append(Configuration(approach, sigma, tuple(members)))
        else:
            found += [Configuration(_single(approach, run, members), sigma, (run,)) for run in members]
    return found


def seed_of(run: RunRecord) -> int:
    """The seed that a run counts under: its checkpoint's training seed, or that of the votes for a foreign one."""
    return run.seed if run.training_seed is None else run.training_seed


def sample_spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation, None of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else None


def run_radii(run: RunRecord) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """The ascending radii of the images that a sealed run classified correctly."""
    assert run.radii is not None  # noqa: S101 - sealed runs have their radii
    return run.radii


def threat_model_of(run: RunRecord) -> str:
    """Which perturbed images a run's certificate speaks of. Raises StoreError where `certificate_of` does."""
    family: Family = json.loads(run.spec_json)["measure"]["family"]
    return certificate_of(run).threat_models[family]


def certificate_of(run: RunRecord) -> Certificate:
    """The certificate that a run declared. Raises StoreError when this version does not know it."""
    if run.certificate not in CERTIFICATES:
        raise StoreError(
            f"run {run.fingerprint[:12]} declares the certificate {run.certificate!r}, which this rsbench does not "
            "know: upgrade rsbench"
        )
    return CERTIFICATES[run.certificate]


def _approaches(runs: Sequence[RunRecord]) -> dict[str, Approach]:
    """The approach of each run, by fingerprint: a method that was trained by several recipes has one for each."""
    plain = {run.fingerprint: _approach(run) for run in runs}
    recipes: dict[Approach, set[str]] = defaultdict(set)
    for run in runs:
        recipes[plain[run.fingerprint]].add(_recipe(run))
    return {
        run.fingerprint: plain[run.fingerprint]
        if len(recipes[plain[run.fingerprint]]) == 1
        else replace(plain[run.fingerprint], variant=_recipe_label(_recipe(run)))
        for run in runs
    }


def _approach(run: RunRecord) -> Approach:
    certificate = certificate_of(run).name
    return Approach(run.method, certificate, run.n_select, run.n_estimate, run.failure_probability)


def _recipe(run: RunRecord) -> str:
    """What a run has in common with those that it may be averaged with, but for σ and the seed: canonical JSON.

    How its checkpoint was trained (a foreign one says nothing of that, and stands for itself) and how its votes were
    computed.
    """
    trial: dict[str, Any] = {"foreign": run.checkpoint_sha256}
    if run.training_json is not None:
        trial = {k: v for k, v in json.loads(run.training_json).items() if k not in ("seed", "measure")}
    spec = json.loads(run.spec_json)
    votes = {key: spec.get(key) for key in ("batch_size", "device", "precision", "noise")}
    return json.dumps({"training": trial, "votes": votes}, sort_keys=True)


def _recipe_label(recipe: str) -> str:
    training = json.loads(recipe)["training"]
    if "foreign" in training:
        return f"checkpoint {training['foreign'][:12]}"
    return f"{training['epochs']} epochs, recipe {hashlib.sha256(recipe.encode()).hexdigest()[:6]}"


def _single(approach: Approach, run: RunRecord, members: Sequence[RunRecord]) -> Approach:
    same_checkpoint = sum(other.checkpoint_sha256 == run.checkpoint_sha256 for other in members) > 1
    name = f"run {run.fingerprint[:12]}" if same_checkpoint else f"checkpoint {run.checkpoint_sha256[:12]}"
    return replace(approach, variant=f"{approach.variant}, {name}".removeprefix(", "))
