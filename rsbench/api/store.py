"""`rsbench.open_store`: the runs of a store as frames."""

from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd

from rsbench.api.keywords import checked_bounds, keyword_errors
from rsbench.api.result import Certification, image_frame, rows_of
from rsbench.errors import UsageError
from rsbench.home import default_database
from rsbench.jobs.recertify import PlannedCurve, fetch_caps_of, recertify_runs
from rsbench.jobs.stored_runs import dataset_of
from rsbench.plugins import load_plugins
from rsbench.recertification import decoded, run_votes
from rsbench.records import ImageColumns, Norm, RunRecord
from rsbench.report.leaderboard import leaderboard, leaderboard_frame
from rsbench.report.numbers import checked_radii, thresholds
from rsbench.specs import Procedure
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES


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

        `predicted` is <NA> on abstention, and the radius is then 0. `votes_k` counts the votes for class k among
        all that certify. There are no such columns if `votes` is False, or if the run was imported with radii only. If
        σ was chosen for each image, the column `sigma` has it.
        """
        with keyword_errors():
            record = self.store.run(run)
            columns = self.store.image_columns(record.id, with_votes=votes)
            return image_frame(columns, n=None if columns.votes is None else _votes_per_image(columns))

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

    def curve(
        self,
        run: str,
        *,
        certificate: str | None = None,
        n: int | None = None,
        alpha: float | None = None,
        bounds: Procedure | None = None,
        data_root: str | PathLike[str] | None = None,
    ) -> pd.DataFrame:
        """Return a curve of a sealed run: the radii at which its certified accuracy falls, and its value there.

        Columns: radius, certified_accuracy, see `Certification.curve`. The arguments are those of `recertify`; without
        them it is the run's own curve.
        """
        if (certificate, n, alpha, bounds) == (None, None, None, None):
            with keyword_errors():
                return self._certification(self.store.run(run)).curve()
        return self.recertify(
            run, certificate=certificate, n=n, alpha=alpha, bounds=bounds, data_root=data_root
        ).curve()

    def recertify(
        self,
        run: str,
        *,
        certificate: str | None = None,
        n: int | None = None,
        alpha: float | None = None,
        bounds: Procedure | None = None,
        save: bool = False,
        declared: str | None = None,
        data_root: str | PathLike[str] | None = None,
    ) -> Certification:
        """Return what another certificate, n, alpha or bounds say of the votes of a sealed run.

        `images` of the result is the frame of classes and radii. What is left out is as the run declared it.

        save: whether to keep the curve in the store, beside the run's own, as `rsbench recertify` does.
        declared: where these choices were fixed before a result was seen, such as the name of a protocol. It is kept
            with the curve, which the board shows as stated afterwards; without it, a choice of n, alpha or bounds is
            exploratory.
        data_root: the folder that holds the run's images, for certificates that look at them.
        Raises UsageError when the run has no votes, votes were not kept at that n, or the certificate does not hold
        for its noise; DataError when the images are needed and not there.
        """
        with keyword_errors():
            if declared is not None and not (save and declared.strip()):
                raise UsageError(
                    "declared says where the choices of a saved curve were fixed: give save=True and a name"
                )
            record = self.store.run(run)
            votes = run_votes(self.store, record)
            request = votes.request(
                certificate=certificate, procedure=checked_bounds(bounds), n=n, failure_probability=alpha
            )
            root = None if data_root is None else Path(data_root)
            own = self._certification(record)
            if CERTIFICATES[request.certificate].looks_at_images:
                own = replace(own, caps=fetch_caps_of(dataset_of(record, root)))
            if save:
                planned = [PlannedCurve(votes, request)]
                list(recertify_runs(self.store, planned, statement=declared, data_root=root))
            return own.recertify(
                certificate=request.certificate, n=request.n, alpha=request.failure_probability,
                bounds=request.procedure,
            )  # fmt: skip

    def leaderboard(
        self,
        *,
        norm: Norm = "l1",
        radii: Sequence[float | str] = (0.25, 0.5, 1),
        dataset: str | None = None,
        all_runs: bool = False,
        exploratory: bool = False,
    ) -> pd.DataFrame:
        """Return the board of `rsbench leaderboard`: one row per method and radius, best first within a protocol.

        radii: in units of the pixel range [0,1]. all_runs: one row per run and radius, and no σ is selected.
        exploratory: with curves whose n, alpha or bounds were chosen after a result was seen.
        Raises UsageError for an unknown norm or a radius that is no number ≥ 0.
        """
        with keyword_errors():
            typed = checked_radii([str(radius) for radius in radii])
            runs = self.store.sealed_runs(dataset, exploratory=exploratory)
            counts = self.store.certified_counts([run.curve.id for run in runs if run.curve], thresholds(typed))
            incomplete = len(self.store.incomplete_runs(dataset))
            board = leaderboard(
                runs, counts, norm=norm, radii=typed, incomplete=incomplete, select_best=not all_runs
            )  # fmt: skip
            return leaderboard_frame(board)

    def _certification(self, record: RunRecord) -> Certification:
        """Return what a sealed run declared."""
        if record.curve is None:
            raise UsageError(f"run {record.fingerprint[:12]} is not sealed: repeat what began it")
        return Certification(
            measure=record.spec.measure,
            certificate=record.certificate,
            bounds=record.spec.procedure,
            n=record.curve.n,
            alpha=record.failure_probability,
            dataset=record.dataset,
            run=record.fingerprint,
            is_labelled=True,
            columns=self.store.image_columns(record.id, with_votes=True),
        )


def _votes_per_image(columns: ImageColumns) -> int:
    return decoded(rows_of(columns, slice(1))).votes.prefixes[-1]


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
