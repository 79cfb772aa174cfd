"""`rsbench recertify`: new curves of sealed runs, computed from their votes and stored beside their own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from rsbench.data.dataset import ImageDataset
from rsbench.errors import UsageError
from rsbench.jobs.stored_runs import dataset_of
from rsbench.recertification import CurveRequest, CurveResult, FetchCaps, RunVotes, run_votes
from rsbench.records import FloatArray, IntArray, RunRecord
from rsbench.specs import Procedure
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES


@dataclass(frozen=True)
class CurveChoices:
    """Which curves to compute of each run: every combination of the choices."""

    certificates: tuple[str, ...] = ()
    """Names of certificates; empty for the one that the run declared."""

    n: tuple[int, ...] | Literal["all"] = ()
    """Prefixes of the votes; empty for the declared n, "all" for every prefix of the run."""

    failure_probabilities: tuple[float, ...] = ()
    """Values of α; empty for the declared one."""

    procedure: Procedure | None = None
    """None for the declared one."""


@dataclass(frozen=True, eq=False)
class PlannedCurve:
    """A valid request, and the votes that it will be computed from."""

    votes: RunVotes
    request: CurveRequest


@dataclass(frozen=True, eq=False)
class RecertifiedCurve:
    """A curve that is now in the store."""

    result: CurveResult
    """The curve, with the standing and the statement that the store has."""

    is_new: bool
    """Whether the store did not have it before."""


def plan_curves(store: Store, run: RunRecord, choices: CurveChoices) -> list[PlannedCurve]:
    """Return the curves to compute of a run, each once. Raises UsageError when one of them cannot be computed."""
    votes = run_votes(store, run)
    sizes = votes.prefixes if choices.n == "all" else choices.n or (None,)
    combinations = product(choices.certificates or (None,), sizes, choices.failure_probabilities or (None,))
    requests = (
        votes.request(certificate=certificate, procedure=choices.procedure, n=n, failure_probability=alpha)
        for certificate, n, alpha in combinations
    )
    return [PlannedCurve(votes, request) for request in dict.fromkeys(requests)]


def plan_all_curves(
    store: Store, choices: CurveChoices, *, dataset: str | None, methods: Sequence[str], report: Callable[[str], None]
) -> list[PlannedCurve]:
    """Return the curves to compute of all sealed runs of a dataset and some methods; without these, of all runs.

    Runs of which one of the curves cannot be computed are left out, and `report` is called with the reason.
    Raises UsageError when no run matches.
    """
    runs = {run.id: run for run in store.sealed_runs(dataset) if not methods or run.method in methods}
    if not runs:
        raise UsageError("no sealed run matches: see rsbench leaderboard --all")
    planned = []
    for run in runs.values():
        try:
            planned += plan_curves(store, run, choices)
        except UsageError as error:
            report(str(error))
    return planned


def recertify_runs(
    store: Store, planned: Sequence[PlannedCurve], *, statement: str | None, data_root: Path | None
) -> Iterator[RecertifiedCurve]:
    """Compute and store each curve.

    statement: where the choices were fixed before the votes, in the words of the user; None if they were not.
    data_root: the folder with the images, for certificates that look at them.
    Raises UsageError or DataError when the images are not those of the run, StoreError when the store fails. The curves
    that were yielded before stay in the store.
    """
    for curve in planned:
        looks_at_images = CERTIFICATES[curve.request.certificate].looks_at_images
        caps = fetch_caps_of(dataset_of(curve.votes.run, data_root)) if looks_at_images else None
        result = curve.votes.compute(curve.request, statement=statement, caps=caps)
        added = store.add_curve(result.run.id, result.curve, statement=result.statement)
        curve_as_stored = replace(result.curve, standing=added.record.standing)
        yield RecertifiedCurve(replace(result, curve=curve_as_stored, statement=added.record.statement), added.is_new)


def fetch_caps_of(dataset: ImageDataset) -> FetchCaps:
    """Return a function that computes max(x, 1−x) of the pixels of a dataset's images."""

    def caps(index_N: IntArray) -> FloatArray:
        pixels_NCHW = dataset.pixels(index_N.tolist())
        x_ND = pixels_NCHW.reshape(len(pixels_NCHW), -1).astype(np.float64) / (dataset.info.q or 1)
        return np.maximum(x_ND, 1.0 - x_ND)

    return caps
