"""Databases of earlier revisions are refused until they are upgraded, and upgrading them loses nothing."""

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
from rsbench.store.engine import create_store_engine
from rsbench.store.location import parse_location
from rsbench.store.revisions import alembic_config, database_revision, head_revision, upgrade_database
from rsbench.store.store import Store
from rsbench.votes_format import decode_votes
from tests.fixtures.results import certification_of

RELEASED_FILES = sorted((Path(__file__).parent / "released").glob("*.db"))


@pytest.fixture(params=RELEASED_FILES, ids=[file.stem for file in RELEASED_FILES])
def released_file(request: pytest.FixtureRequest) -> Path:
    """A SQLite file as rsbench wrote it at an earlier revision, which is its name. A JSON file lists its content."""
    return Path(request.param)


@pytest.fixture
def old_database(released_file: Path, database: str) -> str:
    """A copy of the released file, on SQLite and on PostgreSQL."""
    location = parse_location(database)
    if location.file is not None:
        shutil.copy(released_file, location.file)
    else:
        with open_engine(str(released_file)) as source, open_engine(database) as target:
            with target.begin() as connection:
                command.upgrade(alembic_config(connection), released_file.stem)
            with source.connect() as source_connection, target.begin() as target_connection:
                copy_all_rows(source_connection, target_connection)
    return database


@pytest.fixture
def upgraded_store(old_database: str) -> Iterator[Store]:
    upgrade_database(old_database)
    with Store.open_existing(old_database) as store:
        yield store


@contextmanager
def open_engine(location: str) -> Iterator[Engine]:
    engine = create_store_engine(parse_location(location))
    yield engine
    engine.dispose()


def reflect_tables(connection: Connection) -> MetaData:
    """Return the tables that the database has, except for the one that holds its revision."""
    tables = MetaData()
    tables.reflect(connection)
    tables.remove(tables.tables["alembic_version"])
    return tables


def copy_all_rows(source_connection: Connection, target_connection: Connection) -> None:
    """Copy the rows of a SQLite database into the empty tables of a PostgreSQL database."""
    source, target = reflect_tables(source_connection), reflect_tables(target_connection)
    for table in target.sorted_tables:
        if rows := source_connection.execute(select(source.tables[table.name])).mappings().all():
            target_connection.execute(insert(table), [dict(row) for row in rows])
        if "id" in table.columns:
            # Inserting explicit ids does not advance the sequence from which PostgreSQL takes further ids.
            last_id = select(func.max(table.c.id)).scalar_subquery()
            set_sequence = select(func.setval(func.pg_get_serial_sequence(table.name, "id"), last_id))
            target_connection.execute(set_sequence)


def all_rows(engine: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of every table by its name, ordered by the primary key."""
    with engine.connect() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in reflect_tables(connection).sorted_tables
        }


def expected_runs(released_file: Path) -> dict[str, dict[str, Any]]:
    """Return what the released file contains, by the fingerprint of the run."""
    runs: dict[str, dict[str, Any]] = json.loads(released_file.with_suffix(".json").read_text(encoding="utf-8"))
    return runs


def test_a_database_of_every_earlier_revision_is_kept() -> None:
    assert [file.stem for file in RELEASED_FILES] == ["0001", "0002", "0003"]


def test_old_database_is_refused_with_the_command_that_upgrades_it(old_database: str, released_file: Path) -> None:
    for open_database in (Store.create_or_open, Store.open_existing, Store.open_or_empty):
        with pytest.raises(StoreError) as error:
            open_database(old_database)
        line = str(error.value)
        assert "\n" not in line
        assert f"at revision {released_file.stem}, this rsbench needs {head_revision()}: run rsbench db upgrade" in line
        # The upgrade copies a SQLite file, but not a database on a server.
        assert ("pg_dump" in line) == ("://" in old_database)
    assert database_revision(old_database) == released_file.stem


def test_upgraded_database_has_the_same_runs_and_images(upgraded_store: Store, released_file: Path) -> None:
    expected = expected_runs(released_file)
    runs = [*upgraded_store.sealed_runs(), *upgraded_store.incomplete_runs()]
    assert {run.fingerprint for run in runs} == set(expected)
    for fingerprint, expected_run in expected.items():
        run = upgraded_store.run(fingerprint)
        assert run.fingerprint == fingerprint
        assert (run.method, run.done) == (expected_run["method"], len(expected_run["index"]))
        images = upgraded_store.image_columns(run.id, with_votes=True)
        assert images.index_N.tolist() == expected_run["index"]
        assert images.label_N.tolist() == expected_run["label"]
        assert images.predicted_N.tolist() == [
            -1 if predicted is None else predicted for predicted in expected_run["predicted"]
        ]
        assert [radius.hex() for radius in images.radius_N.tolist()] == expected_run["radius"]
        assert images.votes is not None
        assert decode_votes(images.votes).tolist() == expected_run["votes"]
        provenances = upgraded_store.details(run.id).provenances
        assert [provenance.device for provenance in provenances] == expected_run["devices"]
        # A specification with another fingerprint could not be resumed, and its run would be computed again.
        assert certification_of(run).fingerprint() == fingerprint


def test_upgraded_database_has_the_same_curves(upgraded_store: Store, released_file: Path) -> None:
    for fingerprint, expected_run in expected_runs(released_file).items():
        run = upgraded_store.run(fingerprint)
        if expected_run["state"] == "open":
            assert (run.curve, run.sealed_at, run.seal) == (None, None, None)
            continue
        assert run.curve is not None
        assert run.seal is not None
        assert (run.curve.correct, run.curve.abstained) == (expected_run["correct"], expected_run["abstained"])
        assert run.curve.average_certified_radius.hex() == expected_run["average_certified_radius"]
        curve = upgraded_store.step_curves([run.curve.id])[run.curve.id]
        radii = np.repeat(curve.radius_M, curve.count_M).tolist()
        assert [radius.hex() for radius in radii] == expected_run["radii"]


def test_curves_with_a_statement_are_read_as_stated_afterwards(upgraded_store: Store, released_file: Path) -> None:
    """Earlier releases stored them as declared."""
    curves = [curve for run in upgraded_store.sealed_runs() for curve in upgraded_store.details(run.id).curves]
    for curve in curves:
        assert (curve.standing == "stated-afterwards") == (curve.statement is not None)
    assert released_file.stem != "0003" or any(curve.standing == "stated-afterwards" for curve in curves)


def test_upgraded_database_has_the_same_epochs(upgraded_store: Store, released_file: Path) -> None:
    epochs_by_method = set()
    for checkpoint in upgraded_store.checkpoints():
        training = upgraded_store.training_of_checkpoint(checkpoint.sha256)
        epochs = () if training is None else training.epochs
        epochs_by_method.add((checkpoint.method, *((e.epoch, e.loss, e.accuracy, e.seconds) for e in epochs)))
    expected = {(run["method"], *map(tuple, run["epochs"])) for run in expected_runs(released_file).values()}
    assert epochs_by_method == expected


def test_open_run_of_an_earlier_release_can_be_completed(upgraded_store: Store, released_file: Path) -> None:
    (incomplete,) = upgraded_store.incomplete_runs()
    spec = certification_of(incomplete)
    opened = upgraded_store.open_run(spec, image_count=incomplete.image_count)
    done = upgraded_store.image_columns(incomplete.id, with_votes=True)
    assert (opened.id, opened.done) == (incomplete.id, frozenset(done.index_N.tolist()))
    rest = ImageColumns(
        done.index_N + 2 * len(done), done.label_N, done.predicted_N, done.radius_N, sigma_N=None, votes=done.votes
    )
    provenance = upgraded_store.details(incomplete.id).provenances[0]
    upgraded_store.write_chunk(incomplete.id, rest, seconds=1.0, provenance=provenance)
    upgraded_store.seal(incomplete.id)
    curve = upgraded_store.run(incomplete.fingerprint).curve
    assert curve is not None
    assert (curve.correct, curve.abstained) == (2 * done.correct_N.sum(), 2 * (done.predicted_N < 0).sum())
    # The id of a new run follows those of the copied runs.
    another_spec = spec.model_copy(update={"seed": spec.seed + 1})
    assert upgraded_store.open_run(another_spec, image_count=incomplete.image_count).id == 1 + max(
        upgraded_store.run(fingerprint).id for fingerprint in expected_runs(released_file)
    )


def test_downgrade_of_a_database_with_runs_is_refused_and_changes_nothing(upgraded_store: Store) -> None:
    """Earlier schemas cannot hold all runs. To go back, the user restores the copy that the upgrade made."""
    before = all_rows(upgraded_store.engine)
    with pytest.raises(RuntimeError, match="cannot hold these runs"), upgraded_store.engine.begin() as connection:
        command.downgrade(alembic_config(connection), "0001")
    assert all_rows(upgraded_store.engine) == before


def test_downgrade_and_upgrade_without_runs_keep_all_rows(upgraded_store: Store, released_file: Path) -> None:
    with upgraded_store.engine.begin() as connection:
        tables = reflect_tables(connection)
        kept = ("dataset", "checkpoint", "sweep", "training_run", "training_epoch")
        for table in reversed(tables.sorted_tables):
            if table.name not in kept:
                connection.execute(table.delete())
    before = all_rows(upgraded_store.engine)
    with upgraded_store.engine.begin() as connection:
        command.downgrade(alembic_config(connection), released_file.stem)
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == released_file.stem
    with upgraded_store.engine.begin() as connection:
        command.upgrade(alembic_config(connection), "head")
    assert all_rows(upgraded_store.engine) == before
    assert before["training_epoch"]
