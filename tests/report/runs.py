"""Sealed runs made by hand, for numbers that can be checked in the head."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from rsbench.methods import METHODS
from rsbench.records import DatasetInfo, RunRecord, RunSummary
from tests.fixtures.results import DIGITS, PROVENANCE


def a_run(
    radii: Sequence[float], *, images: int = 4, method: str = "ssn", sigma: float = 0.5, seed: int = 0,
    checkpoint: str | None = None, dataset: DatasetInfo = DIGITS, chosen: str | None = None, n: int = 1000,
    abstained: int = 0, training_seed: int | None = None, training_json: str | None = None,
    certificate: str | None = None,
) -> RunRecord:  # fmt: skip
    """A sealed run in which the images classified correctly have these radii."""
    sampled = not METHODS[method].enumerated
    identity = (method, sigma, seed, training_seed, checkpoint, dataset.fingerprint, chosen, n, tuple(radii))
    sha = checkpoint or _sha256(method, sigma, seed)
    return RunRecord(
        id=1,
        fingerprint=_sha256(*identity),
        method=method,
        dataset=dataset,
        checkpoint_sha256=sha,
        certificate=certificate or METHODS[method].certificate,
        sigma=sigma,
        seed=seed,
        training_seed=training_seed,
        n_select=100 if sampled else None,
        n_estimate=n if sampled else None,
        failure_probability=0.001 if sampled else None,
        images=chosen or f"0:{images}:1",
        image_count=images,
        done=images,
        spec_json=json.dumps({}),
        training_json=training_json or json.dumps({"epochs": 5, "seed": seed}),
        provenances=(PROVENANCE,),
        created_at="2026-01-01T00:00:00+00:00",
        worker_seconds=1.0,
        sealed_at="2026-01-01T00:00:01+00:00",
        summary=RunSummary(images, len(radii), abstained, float(np.sum(radii)) / images),
        radii=np.sort(np.array(radii, dtype=np.float64)),
    )


def _sha256(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()
