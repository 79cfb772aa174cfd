"""Sealed runs made by hand, for numbers that can be checked in the head."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from rsbench.methods import METHODS, measure_for
from rsbench.records import Ball, CertifiedCounts, CurveRecord, DatasetInfo, RunRecord, Standing, StepCurve, Tier
from rsbench.report.leaderboard import Leaderboard, leaderboard
from rsbench.report.numbers import thresholds
from rsbench.report.run_facts import curve_of
from rsbench.specs import CertificationSpec, ImportSpec, Noise, SampleBudget, TrainingSpec
from tests.fixtures.results import DIGITS
from tests.fixtures.smoothing import float_noise

# The curves of all runs made here, by id.
STEPS: dict[int, StepCurve] = {}

_COMPARISONS: dict[Ball, np.ufunc] = {"open": np.greater, "closed": np.greater_equal}


def a_run(
    radii: Sequence[float], *, images: int = 4, method: str = "ssn", sigma: float = 0.5, seed: int = 0,
    checkpoint: str | None = None, dataset: DatasetInfo = DIGITS, chosen: str | None = None, n: int = 1000,
    abstained: int = 0, training_seed: int | None = None, certificate: str | None = None,
    noise: Noise | None = None, standing: Standing = "declared", tier: Tier = "measured", epochs: int = 5,
    batch_size: int = 64, external: bool = False, training_sigma: float | None = None,
) -> RunRecord:  # fmt: skip
    """A sealed run in which the images classified correctly have these radii."""
    table = METHODS[method]
    identity = (method, sigma, seed, training_seed, checkpoint, dataset.fingerprint, chosen, n, tuple(radii))
    sha = checkpoint or _sha256(method, sigma, seed)
    measure = measure_for(table, sigma, q=16, offsets_seed=seed)
    spec = CertificationSpec(
        method=method,
        checkpoint_sha256=sha,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        images=chosen or f"0:{images}:1",
        measure=measure,
        certificate=certificate or table.certificate,
        budget=None if table.is_enumerated else SampleBudget(n_select=100, n_estimate=n, failure_probability=0.001),
        seed=seed,
        batch_size=batch_size,
        chunk_images=1,
        device="cpu",
        noise=noise or float_noise(measure),
    )
    trial = TrainingSpec(
        objective=table.objective,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        architecture="mlp",
        measure=measure,
        seed=seed,
        device="cpu",
        epochs=epochs,
    )
    alpha = None if spec.budget is None else spec.budget.failure_probability
    curve = CurveRecord(
        id=len(STEPS) + 1,
        certificate=spec.certificate,
        procedure="one-versus-rest",
        n=spec.budget.n_estimate if spec.budget else spec.passes_per_image,
        failure_probability=alpha,
        standing=standing,
        statement=None,
        is_primary=True,
        correct=len(radii),
        abstained=abstained,
        average_certified_radius=float(np.sum(radii)) / images,
    )
    STEPS[curve.id] = StepCurve(*np.unique(np.array(radii, dtype=np.float64), return_counts=True))
    return RunRecord(
        id=1,
        fingerprint=_sha256(*identity),
        tier=tier,
        spec=spec,
        dataset=dataset,
        training=None if external else trial,
        training_seed=training_seed,
        training_sigma=sigma if training_sigma is None else training_sigma,
        image_count=images,
        done=images,
        source=None,
        notes=(),
        created_at="2026-01-01T00:00:00+00:00",
        worker_seconds=1.0,
        sealed_at="2026-01-01T00:00:01+00:00",
        seal=_sha256("seal", *identity),
        curve=curve,
    )


def counts_of(runs: Sequence[RunRecord], radii: Sequence[str]) -> CertifiedCounts:
    """How many images runs that were made here certify at radii as typed."""
    counts: dict[tuple[int, float, Ball], int] = {}
    for run, threshold in product(runs, thresholds(radii) if runs else ()):
        curve = STEPS[curve_of(run).id]
        for ball, compare in _COMPARISONS.items():
            counts[curve_of(run).id, threshold, ball] = int(curve.count_M[compare(curve.radius_M, threshold)].sum())
    return CertifiedCounts(counts)


def board_of(
    runs: Sequence[RunRecord], radii: tuple[str, ...] = ("0.5",), *, norm: str = "l1", select_best: bool = True,
    incomplete: int = 0,
) -> Leaderboard:  # fmt: skip
    """The board of runs that were made here."""
    counts = counts_of(runs, radii)
    return leaderboard(runs, counts, norm=norm, radii=radii, incomplete=incomplete, select_best=select_best)


def an_import(radii: Sequence[float], *, method: str = "ssn", images: int = 4) -> RunRecord:
    """A sealed run of radii that were imported."""
    run = a_run(radii, images=images, tier="imported-radii")
    spec = ImportSpec(
        source="tsv",
        content_sha256=_sha256(radii),
        method=method,
        dataset=run.dataset.name,
        dataset_fingerprint=run.dataset.fingerprint,
        images=run.images,
        family=run.family,
        sigma=run.sigma,
        certificate=run.certificate,
        n_select=100,
        n_estimate=1000,
        failure_probability=0.001,
    )
    return replace(run, spec=spec, training=None, training_seed=None, training_sigma=None)


def _sha256(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
