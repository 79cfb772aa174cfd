"""`rsbench.open_store`: the runs of a store as frames."""

from os import PathLike
from types import TracebackType
from typing import Self

import pandas as pd

from rsbench.api.arguments import keyword_errors
from rsbench.api.result import image_frame
from rsbench.home import default_database
from rsbench.plugins import load_plugins
from rsbench.records import RunRecord
from rsbench.store.store import Store


def open_store(location: str | PathLike[str] | None = None, *, create: bool = False) -> "ResultStore":
    """Open a store for reading, and for `rsbench.certify` to keep runs in.

    location: a SQLite file or a URL such as postgresql://USER@HOST/NAME; $RSBENCH_DB, else results.db in
        $RSBENCH_HOME, if it is left out.
    create: whether to make the store if it is not there yet.
    Raises UsageError when there is no store and `create` is False, StoreError when it cannot be read or its schema is
    of another version.
    """
    with keyword_errors():
        load_plugins()
        chosen = default_database() if location is None else str(location)
        return ResultStore(Store.create_or_open(chosen) if create else Store.open_existing(chosen))


class ResultStore:
    """An open store. Close it, or use it as a context manager.

    A run is named by its fingerprint, or by the first digits of it, at least four.
    Every method raises StoreError when the database fails, and UsageError for a run that is not there.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.__exit__(kind, error, trace)

    def runs(self, dataset: str | None = None) -> pd.DataFrame:
        """Return the runs, or those on the dataset of that name: one row per run, by its fingerprint.

        Columns: dataset, method, family, sigma, certificate, bounds, n0, n and alpha as the run declared them; images,
        their number, and `done`, how many have a result; `sealed`; tier (measured, reproduced, imported-votes or
        imported-radii); the seed of the noise and of the training; the checkpoint; and, of a sealed run,
        clean_accuracy, abstention_rate and average_certified_radius.
        """
        with keyword_errors():
            records = [*self.store.sealed_runs(dataset), *self.store.incomplete_runs(dataset)]
            own = [run for run in records if run.curve is None or run.curve.is_primary]
            return run_frame(own)

    def images(self, run: str, *, votes: bool = True) -> pd.DataFrame:
        """Return the images of a run, by their index: label, predicted, correct, radius, votes_0, votes_1, …

        `predicted` is <NA> on abstention, and the radius is then 0. `votes_k` are the votes of class k that certify,
        all n of the run; without `votes`, and for a run that was imported with radii only, there are none. A run whose
        σ was chosen for each image has a column `sigma`.
        """
        with keyword_errors():
            record = self.store.run(run)
            return image_frame(self.store.image_columns(record.id, with_votes=votes), with_votes=votes)

    def curves(self, run: str) -> pd.DataFrame:
        """Return the curves that are stored of a run, its own first: one row per certificate, bounds, n and alpha.

        Columns: certificate, bounds, n, alpha, standing, statement, clean_accuracy, abstention_rate and
        average_certified_radius.
        """
        with keyword_errors():
            record = self.store.run(run)
            curves = sorted(self.store.details(record.id).curves, key=lambda curve: not curve.is_primary)
            images = record.image_count
            return pd.DataFrame(
                {
                    "certificate": [curve.certificate for curve in curves],
                    "bounds": [curve.procedure for curve in curves],
                    "n": [curve.n for curve in curves],
                    "alpha": pd.array([curve.failure_probability for curve in curves], dtype="Float64"),
                    "standing": [curve.standing for curve in curves],
                    "statement": [curve.statement for curve in curves],
                    "clean_accuracy": [curve.correct / images for curve in curves],
                    "abstention_rate": [curve.abstained / images for curve in curves],
                    "average_certified_radius": [curve.average_certified_radius for curve in curves],
                }
            )


def run_frame(runs: list[RunRecord]) -> pd.DataFrame:
    """Return runs with their own curves as a frame, see `ResultStore.runs`."""
    frame = pd.DataFrame(
        [_run_row(run) for run in runs],
        columns=list(_RUN_COLUMNS),
        index=pd.Index([run.fingerprint for run in runs], name="run", dtype="str"),
    )
    return frame.astype(_RUN_COLUMNS)


_RUN_COLUMNS = {
    "dataset": "str", "method": "str", "family": "str", "sigma": "float64", "certificate": "str", "bounds": "str",
    "n0": "Int64", "n": "Int64", "alpha": "Float64", "images": "int64", "done": "int64", "sealed": "bool",
    "tier": "str", "seed": "Int64", "training_seed": "Int64", "checkpoint": "str", "clean_accuracy": "Float64",
    "abstention_rate": "Float64", "average_certified_radius": "Float64",
}  # fmt: skip


def _run_row(run: RunRecord) -> tuple[object, ...]:
    curve, images = run.curve, run.image_count
    figures = (
        (None, None, None)
        if curve is None
        else (curve.correct / images, curve.abstained / images, curve.average_certified_radius)
    )
    return (
        run.dataset.name, run.method, run.family, run.sigma, run.certificate, run.procedure, run.n_select,
        run.n_estimate, run.failure_probability, images, run.done, curve is not None, run.tier, run.seed,
        run.training_seed, run.checkpoint_sha256, *figures,
    )  # fmt: skip
