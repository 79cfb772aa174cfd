"""Fill a store with many synthetic results, for the benchmark of the store and for trying out the dashboard.

`python -m tests.benchmarks.large_store LOCATION` writes 1,000 runs of 10,000 images to a SQLite file or a PostgreSQL
database through the store's own interface. Votes come from a seeded generator, predictions and radii from the actual
certificates. Shapes: N images, R rows of votes, K classes.
"""

import argparse
import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product

import numpy as np

from rsbench.certification.plan import spec_prefixes
from rsbench.methods import measure_for, method_named, training_name
from rsbench.records import DatasetInfo, EpochRecord, FloatArray, ImageColumns, IntArray
from rsbench.specs import CertificationSpec, SampleBudget, TrainingSpec
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.votes_format import encode_votes
from tests.fixtures.results import METHODS, PROVENANCE, header_of
from tests.fixtures.smoothing import float_noise

RUNS, IMAGES, CHUNK = 1_000, 10_000, 1_000
# Votes are kept at n = 100, 1,000, 10,000 and 100,000.
BUDGET = SampleBudget(n_select=100, n_estimate=100_000, failure_probability=0.001)
CLASSES = 10
EPOCHS, DATASETS = (30, 60, 90), ("objects", "clothes", "numerals")
SIGMAS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0, 1.25, 1.5, 1.75, 2.0)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class RunTiming:
    """How long it took to write a run."""

    images: int
    writing: float
    """Seconds for all images."""

    sealing: float
    """Seconds for the seal and the curve."""


def write_store(store: Store, runs: int, images: int) -> Iterator[RunTiming]:
    """Write sealed runs of all methods, at several σ, on several datasets, each with three seeds."""
    for name in DATASETS:
        store.record_dataset(_dataset(name, images))
    cells = product(EPOCHS, DATASETS, SIGMAS, METHODS, SEEDS)
    if runs > (most := len(EPOCHS) * len(DATASETS) * len(SIGMAS) * len(METHODS) * len(SEEDS)):
        raise ValueError(f"{runs} runs are too many: only {most} different ones are defined")
    for epochs, dataset, sigma, method, seed in islice(cells, runs):
        trial = _trial(_dataset(dataset, images), method, sigma, seed, epochs)
        spec = _certification(trial, images)
        store.record_training(
            trial,
            sweep=None,
            sha256=spec.checkpoint_sha256,
            path=f"checkpoints/{spec.checkpoint_sha256[:12]}.safetensors",
            header=header_of(trial),
            epochs=[EpochRecord(epoch, 1.0 / epoch, 0.9, 60.0) for epoch in range(1, epochs + 1)],
            provenance=PROVENANCE,
        )
        yield _write_run(store, spec, images)


def _write_run(store: Store, spec: CertificationSpec, images: int) -> RunTiming:
    share_NK = _shares(spec, images)
    run = store.open_run(spec, image_count=images)
    writing = 0.0
    for first in range(0, images, CHUNK):
        index_N = np.arange(first, min(first + CHUNK, images))
        chunk = _results(spec, index_N, share_NK[index_N])
        start = time.perf_counter()
        store.write_chunk(run.id, chunk, seconds=60.0, provenance=PROVENANCE)
        writing += time.perf_counter() - start
    start = time.perf_counter()
    store.seal(run.id)
    return RunTiming(images, writing, time.perf_counter() - start)


def _dataset(name: str, images: int) -> DatasetInfo:
    return DatasetInfo(name, _sha256(name), images=max(images, IMAGES), classes=CLASSES, shape=(3, 32, 32), q=255)


def _trial(dataset: DatasetInfo, name: str, sigma: float, seed: int, epochs: int) -> TrainingSpec:
    method = method_named(name)
    return TrainingSpec(
        objective=method.objective,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        architecture="resnet110",
        measure=measure_for(method, sigma, q=dataset.q, offsets_seed=seed),
        seed=seed,
        device="cuda",
        epochs=epochs,
    )


def _certification(trial: TrainingSpec, images: int) -> CertificationSpec:
    method = method_named(training_name(trial))
    return CertificationSpec(
        method=method.name,
        checkpoint_sha256=_sha256(trial.canonical_json()),
        dataset=trial.dataset,
        dataset_fingerprint=trial.dataset_fingerprint,
        images=f"0:{images}:1",
        measure=trial.measure,
        certificate=method.certificate,
        budget=None if method.is_enumerated else BUDGET,
        seed=trial.seed,
        batch_size=1_000,
        chunk_images=CHUNK,
        device="cuda",
        noise=float_noise(trial.measure),
    )


def _shares(spec: CertificationSpec, images: int) -> FloatArray:
    """Return the probability of a vote for each class. One class dominates for most images, less so for larger σ."""
    # How difficult an image is, and which classes compete, is the same for all runs on its dataset.
    shared = np.random.default_rng(int(spec.dataset_fingerprint[:8], 16))
    logit_NK = shared.normal(size=(images, CLASSES))
    logit_NK[np.arange(images), _labels(np.arange(images))] += shared.normal(3.5, 2.5, size=images)
    own = np.random.default_rng(int(spec.fingerprint()[:12], 16))
    logit_NK += 0.3 * own.normal(size=(images, CLASSES))
    power_NK = np.exp(logit_NK * 2.5 / (1.0 + spec.measure.sigma))
    return np.asarray(power_NK / power_NK.sum(axis=1, keepdims=True), dtype=np.float64)


def _results(spec: CertificationSpec, index_N: IntArray, share_NK: FloatArray) -> ImageColumns:
    random = np.random.default_rng([int(spec.fingerprint()[:12], 16), int(index_N[0])])
    selected = 0 if spec.budget is None else spec.budget.n_select
    sizes = [selected, *np.diff(spec_prefixes(spec), prepend=0).tolist()]
    counts_NRK = random.multinomial(sizes, share_NK[:, None, :]).astype(np.int64)
    counts_NRK[:, 1:] = counts_NRK[:, 1:].cumsum(axis=1)
    verdicts = CERTIFICATES[spec.certificate].certify(
        counts_NRK[:, 0], counts_NRK[:, -1], spec.measure, images=ImageFacts(q=255),
        failure_probability=None if spec.budget is None else spec.budget.failure_probability,
    )  # fmt: skip
    return ImageColumns(
        index_N=index_N,
        label_N=_labels(index_N),
        predicted_N=np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        radius_N=verdicts.radius_N,
        votes=tuple(encode_votes(counts_NRK)),
    )


def _labels(index_N: IntArray) -> IntArray:
    return index_N % CLASSES


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fill a store with synthetic results.")
    parser.add_argument("location", help="a SQLite file or a PostgreSQL URL, new or empty")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--images", type=int, default=IMAGES)
    arguments = parser.parse_args()
    with Store.create_or_open(arguments.location) as opened:
        for number, timing in enumerate(write_store(opened, arguments.runs, arguments.images), start=1):
            rate = timing.images / timing.writing
            print(f"\r{number:,} of {arguments.runs:,} runs, {rate:,.0f} images per second", end="", flush=True)
    print()
