"""Sealed runs made by hand, for numbers that can be checked in the head."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from rsbench.methods import METHODS, measure_for
from rsbench.records import CurveRecord, DatasetInfo, RunRecord, Standing, Steps, Tier
from rsbench.specs import CertificationSpec, Noise, SampleBudget
from rsbench.store.recipe import recipe_of
from tests.fixtures.noise import float_noise
from tests.fixtures.results import DIGITS

# The curves of all runs made here, by id.
STEPS: dict[int, Steps] = {}


class Certified(dict[float, tuple[int, int]]):
    """What a store says of a curve at a radius, for any radius."""

    def __init__(self, radii: Sequence[float]) -> None:
        self._radii = radii

    def __missing__(self, threshold: float) -> tuple[int, int]:
        return sum(r > threshold for r in self._radii), sum(r >= threshold for r in self._radii)


def a_run(
    radii: Sequence[float], *, images: int = 4, method: str = "ssn", sigma: float = 0.5, seed: int = 0,
    checkpoint: str | None = None, dataset: DatasetInfo = DIGITS, chosen: str | None = None, n: int = 1000,
    abstained: int = 0, training_seed: int | None = None, training_json: str | None = None,
    certificate: str | None = None, noise: Noise | None = None, standing: Standing = "declared",
    tier: Tier = "measured",
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
        budget=None if table.enumerated else SampleBudget(n_select=100, n_estimate=n, failure_probability=0.001),
        seed=seed,
        batch_size=64,
        chunk_images=1,
        device="cpu",
        noise=noise or float_noise(measure),
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
        certified=Certified(radii),
    )
    STEPS[curve.id] = Steps(*np.unique(np.array(radii, dtype=np.float64), return_counts=True))
    return RunRecord(
        id=1,
        fingerprint=_sha256(*identity),
        tier=tier,
        method=method,
        family=table.family,
        dataset=dataset,
        checkpoint_sha256=sha,
        certificate=spec.certificate,
        procedure="one-versus-rest",
        sigma=sigma,
        seed=seed,
        training_seed=training_seed,
        n_select=None if spec.budget is None else 100,
        n_estimate=None if spec.budget is None else n,
        failure_probability=alpha,
        images=spec.images,
        image_count=images,
        done=images,
        recipe=recipe_of(spec, training_json or json.dumps({"architecture": "mlp", "epochs": 5, "seed": seed})),
        spec_json=spec.canonical_json(),
        source=None,
        notes=(),
        created_at="2026-01-01T00:00:00+00:00",
        worker_seconds=1.0,
        sealed_at="2026-01-01T00:00:01+00:00",
        seal=_sha256("seal", *identity),
        curve=curve,
    )


def _sha256(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
