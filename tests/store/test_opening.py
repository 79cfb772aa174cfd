"""Opening a store: what is created, what is refused, and that database errors become one line."""

from pathlib import Path

import pytest
from sqlalchemy import MetaData, event, select, text

from rsbench.errors import RsbenchError, StoreError, UsageError
from rsbench.store import engine as engine_module
from rsbench.store.engine import create_sqlite_engine, create_store_engine
from rsbench.store.location import parse_location
from rsbench.store.revisions import database_revision, head_revision, upgrade_database, upgrade_schema
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, write_run

OPENING_FUNCTIONS = (Store.create_or_open, Store.open_existing, Store.open_or_empty, upgrade_database)


def one_line(error: pytest.ExceptionInfo[RsbenchError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def content(database: str) -> object:
    """Return the bytes of a SQLite file, or all rows of a PostgreSQL database."""
    location = parse_location(database)
    if location.file is not None:
        return location.file.read_bytes()
    engine = create_store_engine(location)
    with engine.connect() as connection:
        tables = MetaData()
        tables.reflect(connection)
        rows = {table.name: connection.execute(select(table)).all() for table in tables.sorted_tables}
    engine.dispose()
    return rows


def test_create_or_open_creates_folder_and_tables(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "results.db"
    with Store.create_or_open(str(file)) as store:
        assert store.sealed_runs() == []
    assert file.is_file()


def test_url_and_path_open_the_same_file(tmp_path: Path) -> None:
    with Store.create_or_open(f"sqlite:///{tmp_path}/results.db") as store:
        write_run(store, DIGITS, "dssn", 0.5, 0, images="0:10:1", count=10)
    with Store.open_existing(str(tmp_path / "results.db")) as store:
        assert len(store.sealed_runs()) == 1


def test_open_or_empty_creates_no_file(tmp_path: Path) -> None:
    with Store.open_or_empty(str(tmp_path / "results.db")) as store:
        assert store.sealed_runs() == []
    assert list(tmp_path.iterdir()) == []


def test_open_existing_without_a_store_names_the_command_that_creates_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        Store.open_existing(str(tmp_path / "results.db"))
    assert "rsbench sweep" in one_line(error)


def test_newer_database_is_refused_and_unchanged(database: str) -> None:
    with Store.create_or_open(database) as store, store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = content(database)
    for open_database in OPENING_FUNCTIONS:
        with pytest.raises(StoreError) as error:
            open_database(database)
        assert "at revision 9999, which this rsbench does not know" in one_line(error)
        assert "upgrade rsbench, or give another database with --db" in one_line(error)
    assert content(database) == before
    assert database_revision(database) == "9999"


def test_database_of_another_program_is_refused_and_unchanged(database: str) -> None:
    engine = create_store_engine(parse_location(database))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE recipes (name TEXT)"))
    engine.dispose()
    before = content(database)
    for open_database in OPENING_FUNCTIONS:
        with pytest.raises(StoreError) as error:
            open_database(database)
        assert "tables that are not rsbench's: give another database with --db" in one_line(error)
    assert content(database) == before
    assert database_revision(database) is None


def test_database_can_be_opened_and_upgraded_repeatedly(database: str) -> None:
    assert upgrade_database(database).before is None
    with Store.create_or_open(database) as store:
        store.record_dataset(DIGITS)
    assert upgrade_database(database).before == head_revision()
    with Store.open_existing(database) as store:
        store.record_dataset(DIGITS)
        assert store.sealed_runs() == []


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.db"
    file.write_bytes(b"idx\tlabel\tpredict\n" * 100)
    with pytest.raises(StoreError) as error:
        Store.create_or_open(str(file))
    assert "not a database" in one_line(error)


def test_folder_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as error:
        Store.create_or_open(str(tmp_path / "file" / "results.db"))
    assert "--db" in one_line(error)


def test_full_disk_is_one_line_and_leaves_no_partial_chunk(tmp_path: Path) -> None:
    """SQLite reports a full disk when its file reaches the maximum number of pages."""
    file = str(tmp_path / "results.db")
    with Store.create_or_open(file) as store:
        write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)

        @event.listens_for(store.engine, "begin")
        def forbid_growth(connection: object) -> None:
            store_connection = getattr(connection, "connection")  # noqa: B009
            pages = store_connection.execute("PRAGMA page_count").fetchone()[0]
            store_connection.execute(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(StoreError) as error:
            write_run(store, DIGITS, "ssn", 1.0, 0, images="0:445:1", count=445)
        assert "full" in one_line(error)
        assert "free some space" in one_line(error)
    with Store.open_existing(file) as store:
        assert [run.done for run in store.incomplete_runs()] == [0]
        assert len(store.sealed_runs()) == 1


def test_interrupted_migration_leaves_no_tables(tmp_path: Path) -> None:
    """A schema that is half created would be refused from then on as the tables of another program."""
    engine = create_sqlite_engine(tmp_path / "results.db")

    @event.listens_for(engine, "before_cursor_execute")
    def interrupt(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        if "CREATE TABLE certification_run" in statement:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade_schema(engine)
    engine.dispose()
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        assert store.sealed_runs() == []


def test_store_in_a_read_only_folder_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of the folder is replaced because root, who may run the tests, can write to every folder."""
    file = tmp_path / "results.db"
    with Store.create_or_open(str(file)) as store:
        write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(engine_module, "is_writable", lambda folder: False)
    with Store.open_existing(str(file)) as store:
        assert len(store.sealed_runs()) == 1
        with pytest.raises(StoreError, match="readonly"):
            write_run(store, DIGITS, "ssn", 1.0, 0, images="0:20:1", count=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_server_that_does_not_answer_is_one_line_without_the_password() -> None:
    # Nothing listens on port 1 of this machine.
    for open_database in (*OPENING_FUNCTIONS, database_revision):
        with pytest.raises(StoreError) as error:
            open_database("postgresql://user:secret@127.0.0.1:1/results")
        assert "postgresql://user@127.0.0.1:1/results: connection" in one_line(error)
        assert "check that the server runs" in one_line(error)
        assert "secret" not in one_line(error)


def test_unknown_role_or_database_is_one_line_without_the_password(postgresql: str) -> None:
    for url, remedy in (
        (postgresql.replace("//postgres:", "//nobody:secret"), "check the user"),
        (postgresql.replace("/rsbench_", "/missing_"), "create the database first"),
    ):
        with pytest.raises(StoreError) as error:
            Store.create_or_open(url)
        assert remedy in one_line(error)
        assert "secret" not in one_line(error)


def test_empty_postgresql_database_has_no_results_and_stays_empty(postgresql: str) -> None:
    with pytest.raises(UsageError, match="no results yet at postgresql://postgres@/rsbench_"):
        Store.open_existing(postgresql)
    with Store.open_or_empty(postgresql) as store:
        assert store.sealed_runs() == []
    assert database_revision(postgresql) is None


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("mysql://user:secret@host/results", "mysql databases are not supported"),
        ("postgresql://user:secret@host", "the postgresql URL names no database"),
        ("postgresql://user:secret@host:port/results", "not a valid URL"),
        ("sqlite://", "the sqlite URL names no database"),
        ("://", "not a valid URL"),
        (":memory:", ":memory: loses all results"),
    ],
)
def test_invalid_location_is_refused_without_printing_its_password(location: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as error:
        Store.create_or_open(location)
    assert "secret" not in one_line(error)
