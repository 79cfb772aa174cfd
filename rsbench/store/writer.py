"""`Writer`: the half of the store that changes the database."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, insert, select, update

from rsbench.errors import StoreError
from rsbench.records import (
    AnnotationKind,
    CurveRecord,
    DatasetInfo,
    EpochRecord,
    ImageColumns,
    ImportedRun,
    NewCurve,
    Provenance,
    ReportedFigure,
)
from rsbench.specs import CertificationSpec, CheckpointHeader, SweepSpec, TrainingSpec
from rsbench.store import claims
from rsbench.store import tables as t
from rsbench.store.curves import add_curve, stored_failure_probability
from rsbench.store.engine import insert_row, registration_transaction, write_transaction
from rsbench.store.images import add_images
from rsbench.store.imports import ImportOutcome, import_run
from rsbench.store.registration import add_dataset, add_or_move_checkpoint, add_sweep, add_training
from rsbench.store.run_records import CURVE_COLUMNS, curve_record, run_name
from rsbench.store.seal import seal_run


@dataclass(frozen=True)
class OpenRun:
    """A certification run that `Writer.open_run` has found or created."""

    id: int
    fingerprint: str
    is_sealed: bool
    """If true, the run is complete and not claimed. If false, the writer that opened it has claimed it."""

    done: frozenset[int]
    """Indices of the images that have a result. Empty for a sealed run, whose images are not read."""


@dataclass(frozen=True)
class AddedCurve:
    """A curve as the store has it after `Writer.add_curve`."""

    record: CurveRecord
    """The stored curve. If it was there before, it keeps the standing and the statement that it was stored with."""

    is_new: bool


class Writer:
    """The half of the store that changes the database.

    Transactions: every method is one transaction. If it raises, the database is as it was before the call. When it
    returns, the change is committed.

    Idempotence: recording what is already stored has no effect, so a command that was interrupted can be run again.
    Recording something else under the same identity is an error that shows both, except for the path of a checkpoint,
    which is updated.

    Immutability: a sealed run never changes. Annotations and further curves are new rows beside it.

    Claims: an open run belongs to one writer at a time. `open_run` claims it; `seal`, `release_claims` and the end of
    the process release it. Another writer may also take it if the claim was not renewed for a minute, see
    `renewed_claims`. Opening a run that another writer has claimed, and writing to a run whose claim was lost, raise
    IncompleteError.

    Every method raises StoreError when the database fails, and its subclass UnavailableError when repeating the call
    later may succeed. A writer may be used by one thread at a time.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._holder = claims.new_holder()
        self._has_claims = False

    def record_dataset(self, info: DatasetInfo) -> None:
        """Register a dataset."""
        with registration_transaction(self.engine) as connection:
            add_dataset(connection, info)

    def record_checkpoint(
        self, sha256: str, *, path: str, header: CheckpointHeader, dataset_fingerprint: str | None = None
    ) -> None:
        """Register a checkpoint, or update the path of a checkpoint that is registered.

        dataset_fingerprint: the dataset that the checkpoint is used on, which must be registered. By default it is the
        dataset of the header.
        """
        with registration_transaction(self.engine) as connection:
            add_or_move_checkpoint(connection, sha256, path, header, dataset_fingerprint or header.dataset_fingerprint)

    def record_sweep(self, spec: SweepSpec) -> None:
        """Register a sweep."""
        with registration_transaction(self.engine) as connection:
            add_sweep(connection, spec)

    def record_training(
        self, spec: TrainingSpec, *, sweep: SweepSpec | None, sha256: str, path: str, header: CheckpointHeader,
        epochs: Sequence[EpochRecord], provenance: Provenance,
    ) -> None:  # fmt: skip
        """Register a finished trial with its checkpoint and its epochs.

        The dataset, and the sweep if there is one, must be registered. If training the same specification again gives
        different weights, both trials are kept, because sealed runs may refer to the first one.
        """
        with registration_transaction(self.engine) as connection:
            add_or_move_checkpoint(connection, sha256, path, header, spec.dataset_fingerprint)
            add_training(connection, spec, sweep, sha256, epochs, provenance)

    def open_run(self, spec: CertificationSpec, *, image_count: int) -> OpenRun:
        """Return the run of a specification, creating it if necessary, and claim it unless it is sealed.

        image_count: how many images the specification's `images` selects. The dataset and the checkpoint must be
        registered.
        Raises IncompleteError when another process has claimed the run.
        """
        run = t.certification_run
        with registration_transaction(self.engine) as connection:
            row = connection.execute(
                select(run.c.id, run.c.state).where(run.c.fingerprint == spec.fingerprint())
            ).one_or_none()
            if row is None:
                run_id = _insert_run(connection, spec, image_count)
                self._claim(connection, run_id)
                return OpenRun(run_id, spec.fingerprint(), is_sealed=False, done=frozenset())
            if row.state == "sealed":
                return OpenRun(row.id, spec.fingerprint(), is_sealed=True, done=frozenset())
            self._claim(connection, row.id)
            done = connection.scalars(
                select(t.image_result.c.image_index).where(t.image_result.c.run_id == row.id)
            ).all()
            return OpenRun(row.id, spec.fingerprint(), is_sealed=False, done=frozenset(done))

    def write_chunk(self, run_id: int, images: ImageColumns, *, seconds: float, provenance: Provenance) -> None:
        """Add images to an open run that this writer has claimed.

        images: the images of one or more chunks. seconds: computing time of these images, added up over workers.
        provenance: the code and the machine that computed them.
        Writing an identical row again has no effect. Writing a different row for the same image raises a StoreError
        that shows both rows, and none of the images is added. Raises StoreError when the run does not exist or is
        sealed, and IncompleteError when this writer has lost its claim.
        """
        run = t.certification_run
        is_this_run = run.c.id == run_id
        with write_transaction(self.engine) as connection:
            state = connection.scalar(select(run.c.state).where(is_this_run).with_for_update(key_share=True))
            if state is None:
                raise StoreError(f"the run with the id {run_id} is not in the database: run rsbench db check")
            if state != "open":
                raise StoreError(f"{run_name(connection, run_id)} is sealed: its rows never change")
            claims.confirm(connection, run_id, self._holder)
            _add_provenance(connection, run_id, provenance)
            # If the connection is lost during a commit, the caller does not know whether it succeeded, and writes the
            # images again. Their time must be counted once.
            if add_images(connection, run_id, images):
                connection.execute(update(run).where(is_this_run).values(worker_seconds=run.c.worker_seconds + seconds))

    def seal(self, run_id: int) -> NewCurve:
        """Write the certified curve and the seal of a complete run, and release its claim. The run never changes again.

        Returns the curve that the run's specification declares. Raises StoreError when images are missing or the run is
        sealed, and IncompleteError when this writer has lost its claim.
        """
        with write_transaction(self.engine) as connection:
            curve = seal_run(connection, run_id, "declared")
            claims.confirm(connection, run_id, self._holder)
            claims.release(connection, self._holder, run_id)
            return curve

    @contextmanager
    def renewed_claims(self) -> Iterator[None]:
        """Renew this writer's claims in the background until the block ends, then release them.

        Without this, a claim ends when a chunk takes more than a minute.
        """
        is_over = threading.Event()

        def renew_until_over() -> None:
            while not is_over.wait(claims.RENEWAL_SECONDS):
                # If one renewal fails, the next may succeed. If a run is lost meanwhile, writing to it raises.
                with suppress(StoreError), write_transaction(self.engine) as connection:
                    claims.renew_all(connection, self._holder)

        thread = threading.Thread(target=renew_until_over, name="claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            self.release_claims()

    def release_claims(self) -> None:
        """Release this writer's claims. If the database does not answer, they end when they expire."""
        if not self._has_claims:
            return
        try:
            with write_transaction(self.engine) as connection:
                claims.release(connection, self._holder)
        except StoreError:
            # The claims look alive because this process is, so tell it that nobody works under them.
            claims.abandon(self._holder)
        self._holder = claims.new_holder()
        self._has_claims = False

    def _claim(self, connection: Connection, run_id: int) -> None:
        claims.take(connection, run_id, self._holder)
        self._has_claims = True

    def add_curve(self, run_id: int, curve: NewCurve, *, statement: str | None = None) -> AddedCurve:
        """Add a curve that was computed from the votes of a sealed run, unless it is stored already.

        statement: where procedure, n and α had been fixed beforehand, in the words of whoever states it.
        Raises StoreError when the run is not sealed, and when a curve with the same certificate, procedure, n and α is
        stored with different values.
        """
        run, table = t.certification_run, t.certified_curve
        with write_transaction(self.engine) as connection:
            if connection.scalar(select(run.c.state).where(run.c.id == run_id)) != "sealed":
                raise StoreError(
                    f"{run_name(connection, run_id)} is not sealed: repeat the command that started it to complete it"
                )
            same_choices = select(*CURVE_COLUMNS).where(
                table.c.run_id == run_id,
                table.c.certificate == curve.certificate,
                table.c.procedure == curve.procedure,
                table.c.n == curve.n,
                table.c.failure_probability == stored_failure_probability(curve.failure_probability),
            )
            row = connection.execute(same_choices).one_or_none()
            is_new = row is None
            if row is None:
                add_curve(connection, run_id, curve, statement=statement, is_primary=False)
                row = connection.execute(same_choices).one()
            stored = curve_record(row)
            if (stored.correct, stored.abstained, stored.average_certified_radius) != (
                curve.correct,
                curve.abstained,
                curve.average_certified_radius,
            ):
                raise StoreError(
                    f"{run_name(connection, run_id)} has a different curve of {curve.certificate} at n = {curve.n}: "
                    f"stored are {stored.correct} correct images, {stored.abstained} abstentions and an average radius "
                    f"of {stored.average_certified_radius!r}, computed were {curve.correct}, {curve.abstained} and "
                    f"{curve.average_certified_radius!r}: run rsbench db check"
                )
            return AddedCurve(stored, is_new)

    def import_runs(self, runs: Sequence[ImportedRun]) -> list[ImportOutcome]:
        """Add and seal runs that were computed elsewhere: all of them, or none if one is refused.

        Raises UsageError when a file was imported before with a different description. Raises StoreError when a file
        gives an image another label than a stored run on the dataset of the same name does.
        """
        with write_transaction(self.engine) as connection:
            latest_images: dict[str, ImageColumns] = {}
            return [import_run(connection, run, latest_images) for run in runs]

    def record_reported(self, figures: Sequence[ReportedFigure]) -> int:
        """Register numbers that papers print, and return how many of them were new."""
        figure = t.reported_figure
        columns = [column for column in figure.c if column is not figure.c.id]
        with write_transaction(self.engine) as connection:
            stored = {ReportedFigure(*row) for row in connection.execute(select(*columns))}
            new_rows = [asdict(figure) for figure in dict.fromkeys(figures) if figure not in stored]
            if new_rows:
                connection.execute(insert(figure), new_rows)
            return len(new_rows)

    def annotate(
        self, run_id: int, kind: AnnotationKind, *, other_run_id: int | None, reason: str, author: str
    ) -> None:
        """Add a remark about a sealed run. Repeating the call adds another one.

        other_run_id: the run that supersedes or reproduces it, None for an invalid run.
        """
        with write_transaction(self.engine) as connection:
            connection.execute(
                insert(t.annotation).values(
                    run_id=run_id,
                    kind=kind,
                    other_run_id=other_run_id,
                    reason=reason,
                    author=author,
                    created_at=t.utc_now(),
                )
            )


def _insert_run(connection: Connection, spec: CertificationSpec, image_count: int) -> int:
    return insert_row(
        connection,
        insert(t.certification_run).values(
            fingerprint=spec.fingerprint(),
            tier="measured",
            state="open",
            method=spec.method,
            family=spec.measure.family,
            dataset_fingerprint=spec.dataset_fingerprint,
            checkpoint_sha256=spec.checkpoint_sha256,
            sigma=spec.measure.sigma,
            seed=spec.seed,
            certificate=spec.certificate,
            procedure=spec.procedure,
            n_select=spec.n_select,
            n_estimate=spec.n_estimate,
            failure_probability=spec.failure_probability,
            images=spec.images,
            image_count=image_count,
            spec=spec.canonical_json(),
            notes="computed on devices of several kinds, or allowed to be" if spec.mixed_devices else None,
            created_at=t.utc_now(),
            worker_seconds=0.0,
        ),
    )


def _add_provenance(connection: Connection, run_id: int, provenance: Provenance) -> None:
    table, text = t.run_provenance, json.dumps(asdict(provenance), sort_keys=True)
    stored = connection.scalars(select(table.c.provenance).where(table.c.run_id == run_id)).all()
    if text not in stored:
        connection.execute(insert(table).values(run_id=run_id, number=len(stored), provenance=text, since=t.utc_now()))
