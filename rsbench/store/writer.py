"""What writes to the store: one transaction for each thing that must be whole."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Engine, insert, select, update

from rsbench.errors import StoreError
from rsbench.records import (
    AnnotationKind,
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
from rsbench.store.curves import add_curve
from rsbench.store.engine import registering, writing
from rsbench.store.images import add_images
from rsbench.store.imports import ImportOutcome, import_run
from rsbench.store.rows import has, inserted_id, now, record_dataset
from rsbench.store.seal import seal_run


@dataclass(frozen=True)
class OpenRun:
    """A certification run as `Writer.open_run` leaves it: claimed by this writer, unless it is sealed."""

    id: int
    fingerprint: str
    is_sealed: bool
    done: frozenset[int]
    """Indices of the images that have a result. Not read, and empty, where the run is sealed."""


class Writer:
    """The writing half of the store. Every method is one transaction, and raises StoreError when it fails.

    A run that is open is one writer's alone: what others would write to it is refused with IncompleteError.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._holder = claims.new_holder()
        self._claimed: set[int] = set()

    def record_dataset(self, info: DatasetInfo) -> None:
        """Register a data set; nothing happens when it is known."""
        with registering(self.engine) as connection:
            record_dataset(connection, info)

    def record_checkpoint(
        self, sha256: str, *, path: str, header: CheckpointHeader, dataset_fingerprint: str | None = None
    ) -> None:
        """Register a checkpoint of a registered dataset. Of a checkpoint that is registered already, update the path.

        dataset_fingerprint: the dataset that it is used on, where that is not the header's.
        """
        with registering(self.engine) as connection:
            _upsert_checkpoint(connection, sha256, path, header, dataset_fingerprint or header.dataset_fingerprint)

    def record_sweep(self, spec: SweepSpec) -> None:
        """Register a sweep; nothing happens when it is known."""
        with registering(self.engine) as connection:
            if not has(connection, t.sweep.c.fingerprint == spec.fingerprint()):
                connection.execute(
                    insert(t.sweep).values(fingerprint=spec.fingerprint(), spec=spec.canonical_json(), created_at=now())
                )

    def record_training(
        self, spec: TrainingSpec, *, sweep: SweepSpec | None, sha256: str, path: str, header: CheckpointHeader,
        epochs: Sequence[EpochRecord], provenance: Provenance,
    ) -> None:  # fmt: skip
        """Register a finished trial with its checkpoint and epochs. A trial that is registered already stays as it is.

        When a trial is trained again and gives other weights, both are kept: runs of the first may be sealed.
        """
        with registering(self.engine) as connection:
            _upsert_checkpoint(connection, sha256, path, header, spec.dataset_fingerprint)
            run = t.training_run
            same = (run.c.fingerprint == spec.fingerprint()) & (run.c.checkpoint_sha256 == sha256)
            if has(connection, same):
                return
            run_id = inserted_id(
                connection,
                insert(t.training_run).values(
                    fingerprint=spec.fingerprint(),
                    sweep_fingerprint=sweep.fingerprint() if sweep else None,
                    checkpoint_sha256=sha256,
                    spec=spec.canonical_json(),
                    provenance=json.dumps(asdict(provenance)),
                    finished_at=now(),
                ),
            )
            connection.execute(insert(t.training_epoch), [{"training_run_id": run_id, **asdict(e)} for e in epochs])

    def open_run(self, spec: CertificationSpec, *, image_count: int) -> OpenRun:
        """The run of a spec, made when it is not there yet, and claimed unless it is sealed.

        Its data set and checkpoint must be registered.
        Raises IncompleteError when another process is at work on it.
        """
        run = t.certification_run
        with registering(self.engine) as connection:
            row = connection.execute(
                select(run.c.id, run.c.state).where(run.c.fingerprint == spec.fingerprint())
            ).one_or_none()
            if row is None:
                run_id = inserted_id(
                    connection,
                    insert(run).values(
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
                        created_at=now(),
                        worker_seconds=0.0,
                    ),
                )
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
        """Add the images of a chunk, or of several, to an open run, and where they come from.

        What is there already is nothing; raises StoreError when it is there with other values, and IncompleteError when
        the run is no longer this writer's.
        """
        run = t.certification_run
        of_run = run.c.id == run_id
        with writing(self.engine) as connection:
            state = connection.scalar(select(run.c.state).where(of_run).with_for_update(key_share=True))
            if state != "open":
                raise StoreError(
                    f"there is no run {run_id}" if state is None else f"run {run_id} is sealed: its rows never change"
                )
            claims.confirm(connection, run_id, self._holder)
            _add_provenance(connection, run_id, provenance)
            # A chunk that comes again took no time: whether the first was committed may not have been told.
            if add_images(connection, run_id, images):
                connection.execute(update(run).where(of_run).values(worker_seconds=run.c.worker_seconds + seconds))

    def seal(self, run_id: int) -> NewCurve:
        """Write a complete run's curve and close it for ever.

        Raises StoreError when images are missing, and IncompleteError when the run is no longer this writer's.
        """
        with writing(self.engine) as connection:
            curve = seal_run(connection, run_id, "declared")
            claims.confirm(connection, run_id, self._holder)
            claims.release(connection, self._holder, run_id)
            return curve

    @contextmanager
    def keeping_claims(self) -> Iterator[None]:
        """Renews the claims of the runs that are opened within, however long a chunk takes, and gives them back."""
        over = threading.Event()

        def renew() -> None:
            while not over.wait(claims.RENEWAL):
                # The next may succeed; and who has lost a run is told when they write to it.
                with suppress(StoreError), writing(self.engine) as connection:
                    claims.renew_all(connection, self._holder)

        heart = threading.Thread(target=renew, name="claims", daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            self.release_claims()

    def release_claims(self) -> None:
        """Give back the runs that this writer opened. Where the database does not answer, the claims expire."""
        if not self._claimed:
            return
        try:
            with writing(self.engine) as connection:
                claims.release(connection, self._holder)
        except StoreError:
            # This process lives on, but not the work.
            claims.disown(self._holder)
        self._holder = claims.new_holder()
        self._claimed.clear()

    def _claim(self, connection: Connection, run_id: int) -> None:
        claims.take(connection, run_id, self._holder)
        self._claimed.add(run_id)

    def add_curve(self, run_id: int, curve: NewCurve, *, statement: str | None = None) -> bool:
        """Add a curve that was computed from a sealed run's votes. Returns False when it is there already.

        Raises StoreError when the run is not sealed, or the same curve is there with other values.
        """
        run, known = t.certification_run, t.certified_curve
        with writing(self.engine) as connection:
            if connection.scalar(select(run.c.state).where(run.c.id == run_id)) != "sealed":
                raise StoreError(f"run {run_id} is not sealed: the command that began it finishes it")
            same = (
                (known.c.run_id == run_id)
                & (known.c.certificate == curve.certificate)
                & (known.c.procedure == curve.procedure)
                & (known.c.n == curve.n)
                & (known.c.failure_probability == (curve.failure_probability or 0.0))
            )
            found = connection.execute(select(known).where(same)).one_or_none()
            if found is None:
                add_curve(connection, run_id, curve, statement=statement, is_primary=False)
                return True
            there = (found.correct, found.abstained, found.average_certified_radius)
            if there != (curve.correct, curve.abstained, curve.average_certified_radius):
                raise StoreError(
                    f"run {run_id} has {curve.certificate} at n = {curve.n} with other values "
                    f"({there[0]} correct, {there[1]} abstentions): run rsbench db check"
                )
            return False

    def import_runs(self, runs: Sequence[ImportedRun]) -> list[ImportOutcome]:
        """Store and seal runs that others computed, all or none; what is there already is nothing.

        Raises UsageError when a file's content is there under other claims, StoreError when labels of a data set of
        the same name are not the same.
        """
        with writing(self.engine) as connection:
            newest: dict[str, ImageColumns] = {}
            return [import_run(connection, run, newest) for run in runs]

    def record_reported(self, figures: Sequence[ReportedFigure]) -> int:
        """Register what papers print; what is known is nothing. Returns how many figures were new."""
        figure = t.reported_figure
        columns = [column for column in figure.c if column is not figure.c.id]
        with writing(self.engine) as connection:
            known = {ReportedFigure(*row) for row in connection.execute(select(*columns))}
            new = [asdict(one) for one in dict.fromkeys(figures) if one not in known]
            if new:
                connection.execute(insert(figure), new)
            return len(new)

    def annotate(
        self, run_id: int, kind: AnnotationKind, *, other_run_id: int | None, reason: str, author: str
    ) -> None:
        """Say something of a sealed run, which itself never changes."""
        with writing(self.engine) as connection:
            connection.execute(
                insert(t.annotation).values(
                    run_id=run_id, kind=kind, other_run_id=other_run_id, reason=reason, author=author, created_at=now()
                )
            )


def _add_provenance(connection: Connection, run_id: int, provenance: Provenance) -> None:
    known, told = t.run_provenance, json.dumps(asdict(provenance), sort_keys=True)
    rows = connection.scalars(select(known.c.provenance).where(known.c.run_id == run_id)).all()
    if told not in rows:
        connection.execute(insert(known).values(run_id=run_id, number=len(rows), provenance=told, since=now()))


def _upsert_checkpoint(
    connection: Connection, sha256: str, path: str, header: CheckpointHeader, dataset_fingerprint: str
) -> None:
    known = t.checkpoint.c.sha256 == sha256
    if has(connection, known):
        connection.execute(update(t.checkpoint).where(known).values(path=path))
        return
    connection.execute(
        insert(t.checkpoint).values(
            sha256=sha256,
            path=path,
            method=header.method,
            dataset_fingerprint=dataset_fingerprint,
            sigma=header.measure.sigma,
            seed=header.seed,
            header=header.canonical_json(),
            created_at=now(),
        )
    )
