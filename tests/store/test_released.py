"""Databases that earlier releases wrote: refused until they are upgraded, and then whole, on every kind of database."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from sqlalchemy import Connection, Engine, MetaData, func, insert, select, text

from rsbench.errors import StoreError
from rsbench.records import ImageColumns
from rsbench.store.engine import alembic_config, create_store_engine, head_revision
from rsbench.store.location import parse_location
from rsbench.store.maintenance import bring_up_to_date, revisions
from rsbench.store.store import Store
from rsbench.votes_format import decode_votes
from tests.fixtures.results import certification_of

RELEASED = sorted((Path(__file__).parent / "released").glob("*.db"))


@pytest.fixture(params=RELEASED, ids=[file.stem for file in RELEASED])
def released(request: pytest.FixtureRequest) -> Path:
    """A database as an earlier release left it; beside it, what is true of it."""
    return Path(request.param)


@pytest.fixture
def old(released: Path, database: str) -> str:
    """A copy of it on each kind of database."""
    where = parse_location(database)
    if where.file is not None:
        shutil.copy(released, where.file)
    else:
        with opened(str(released)) as source, opened(database) as target:
            with target.begin() as connection:
                command.upgrade(alembic_config(connection), released.stem)
            with source.connect() as reading, target.begin() as writing:
                copy_rows(reading, writing)
    return database


@pytest.fixture
def upgraded(old: str) -> Iterator[Store]:
    bring_up_to_date(old)
    with Store.open_existing(old) as store:
        yield store


@contextmanager
def opened(location: str) -> Iterator[Engine]:
    engine = create_store_engine(parse_location(location))
    yield engine
    engine.dispose()


def tables_of(connection: Connection) -> MetaData:
    """The tables as the database tells them, but for the one that holds its revision."""
    found = MetaData()
    found.reflect(connection)
    found.remove(found.tables["alembic_version"])
    return found


def copy_rows(reading: Connection, writing: Connection) -> None:
    """All rows of one database, into the empty tables of another."""
    source, target = tables_of(reading), tables_of(writing)
    for table in target.sorted_tables:
        if rows := reading.execute(select(source.tables[table.name])).mappings().all():
            writing.execute(insert(table), [dict(row) for row in rows])
        if "id" in table.columns:
            # The server goes on counting where the rows that it did not number itself end.
            last = select(func.max(table.c.id)).scalar_subquery()
            writing.execute(select(func.setval(func.pg_get_serial_sequence(table.name, "id"), last)))


def all_rows(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in tables_of(connection).sorted_tables
        }


def truth(released: Path) -> dict[str, dict[str, Any]]:
    """What must be true of its runs, by fingerprint."""
    told: dict[str, dict[str, Any]] = json.loads(released.with_suffix(".json").read_text(encoding="utf-8"))
    return told


def test_a_database_of_an_earlier_release_is_kept() -> None:
    assert [file.stem for file in RELEASED] == ["0001", "0002", "0003"]


def test_an_older_database_is_refused_with_the_command_that_helps(old: str, released: Path) -> None:
    for opening in (Store.create_or_open, Store.open_existing, Store.look_into):
        with pytest.raises(StoreError) as error:
            opening(old)
        line = str(error.value)
        assert "\n" not in line
        assert f"at revision {released.stem}, this rsbench needs {head_revision()}: run rsbench db upgrade" in line
        # A file is copied by the upgrade; what is on a server is not.
        assert ("pg_dump" in line) == ("://" in old)
    assert revisions(old) == (released.stem, head_revision())


def test_an_upgraded_database_says_what_the_old_one_said(upgraded: Store, released: Path) -> None:
    expected = truth(released)
    assert {run.fingerprint for run in [*upgraded.sealed_runs(), *upgraded.incomplete_runs()]} == set(expected)
    for fingerprint, told in expected.items():
        run = upgraded.run(fingerprint)
        assert (run.fingerprint, run.method, run.done) == (fingerprint, told["method"], len(told["index"]))
        images = upgraded.image_columns(run.id, with_votes=True)
        assert images.index_N.tolist() == told["index"]
        assert images.label_N.tolist() == told["label"]
        assert images.predicted_N.tolist() == [
            -1 if predicted is None else predicted for predicted in told["predicted"]
        ]
        assert [radius.hex() for radius in images.radius_N.tolist()] == told["radius"]
        assert images.votes is not None
        assert decode_votes(images.votes).tolist() == told["votes"]
        assert [provenance.device for provenance in upgraded.details(run.id).provenances] == told["devices"]
        # Else nobody could resume the run, or find that it is there.
        assert certification_of(run).fingerprint() == fingerprint


def test_an_upgraded_curve_is_the_old_one(upgraded: Store, released: Path) -> None:
    for fingerprint, told in truth(released).items():
        run = upgraded.run(fingerprint)
        if told["state"] == "open":
            assert (run.curve, run.sealed_at, run.seal) == (None, None, None)
            continue
        assert run.curve is not None
        assert run.seal is not None
        assert (run.curve.correct, run.curve.abstained) == (told["correct"], told["abstained"])
        assert run.curve.average_certified_radius.hex() == told["average_certified_radius"]
        steps = upgraded.step_curves([run.curve.id])[run.curve.id]
        assert [radius.hex() for radius in np.repeat(steps.radius_M, steps.count_M).tolist()] == told["radii"]


def test_a_curve_that_an_earlier_release_stored_with_a_statement_was_stated_afterwards(
    upgraded: Store, released: Path
) -> None:
    curves = [curve for run in upgraded.sealed_runs() for curve in upgraded.details(run.id).curves]
    for curve in curves:
        assert (curve.standing == "stated-afterwards") == (curve.statement is not None)
    assert released.stem != "0003" or any(curve.standing == "stated-afterwards" for curve in curves)


def test_upgraded_trainings_have_their_epochs(upgraded: Store, released: Path) -> None:
    found = set()
    for checkpoint in upgraded.checkpoints():
        training = upgraded.training_of_checkpoint(checkpoint.sha256)
        epochs = () if training is None else training.epochs
        found.add((checkpoint.method, *((e.epoch, e.loss, e.accuracy, e.seconds) for e in epochs)))
    assert found == {(told["method"], *map(tuple, told["epochs"])) for told in truth(released).values()}


def test_a_run_that_an_earlier_release_began_is_gone_on_with(upgraded: Store, released: Path) -> None:
    (begun,) = upgraded.incomplete_runs()
    spec = certification_of(begun)
    again = upgraded.open_run(spec, image_count=begun.image_count)
    done = upgraded.image_columns(begun.id, with_votes=True)
    assert (again.id, again.done) == (begun.id, frozenset(done.index_N.tolist()))
    rest = ImageColumns(
        done.index_N + 2 * len(done), done.label_N, done.predicted_N, done.radius_N, sigma_N=None, votes=done.votes
    )
    upgraded.write_chunk(begun.id, rest, seconds=1.0, provenance=upgraded.details(begun.id).provenances[0])
    upgraded.seal(begun.id)
    curve = upgraded.run(begun.fingerprint).curve
    assert curve is not None
    assert (curve.correct, curve.abstained) == (2 * done.correct_N.sum(), 2 * (done.predicted_N < 0).sum())
    # A further run is numbered after those that were copied.
    longer = spec.model_copy(update={"seed": spec.seed + 1})
    assert upgraded.open_run(longer, image_count=begun.image_count).id == 1 + max(
        upgraded.run(fingerprint).id for fingerprint in truth(released)
    )


def test_going_back_with_runs_is_refused_and_loses_nothing(upgraded: Store) -> None:
    """The first schema cannot hold them; the way back is the copy that the upgrade made."""
    before = all_rows(upgraded.engine)
    with pytest.raises(RuntimeError, match="cannot hold these runs"), upgraded.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0001")
    assert all_rows(upgraded.engine) == before


def test_going_back_and_forth_without_runs_loses_nothing(upgraded: Store, released: Path) -> None:
    with upgraded.engine.begin() as connection:
        found = tables_of(connection)
        kept = ("dataset", "checkpoint", "sweep", "training_run", "training_epoch")
        for table in reversed(found.sorted_tables):
            if table.name not in kept:
                connection.execute(table.delete())
    before = all_rows(upgraded.engine)
    with upgraded.engine.begin() as connection:
        command.downgrade(alembic_config(connection), released.stem)
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == released.stem
    with upgraded.engine.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    assert all_rows(upgraded.engine) == before
    assert before["training_epoch"]
