"""Opening a store: what is made, what is refused, and that a database's failure is one line."""

from pathlib import Path

import pytest
from sqlalchemy import MetaData, event, select, text

from rsbench.errors import RsbenchError, StoreError, UsageError
from rsbench.store import sqlite
from rsbench.store.engine import create_store_engine, upgrade
from rsbench.store.location import parse_location
from rsbench.store.maintenance import bring_up_to_date, revisions
from rsbench.store.sqlite import create_sqlite_engine
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, write_run

OPENINGS = (Store.create_or_open, Store.open_existing, Store.look_into, bring_up_to_date)


def one_line(error: pytest.ExceptionInfo[RsbenchError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


def content(database: str) -> object:
    """The bytes of a file, or the rows of a server's database."""
    where = parse_location(database)
    if where.file is not None:
        return where.file.read_bytes()
    engine = create_store_engine(where)
    with engine.connect() as connection:
        found = MetaData()
        found.reflect(connection)
        rows = {table.name: connection.execute(select(table)).all() for table in found.sorted_tables}
    engine.dispose()
    return rows


def test_opening_makes_folder_and_tables(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "results.db"
    with Store.create_or_open(str(file)) as store:
        assert store.sealed_runs() == []
    assert file.is_file()


def test_a_url_and_a_path_name_the_same_store(tmp_path: Path) -> None:
    with Store.create_or_open(f"sqlite:///{tmp_path}/results.db") as store:
        write_run(store, DIGITS, "dssn", 0.5, 0, images="0:10:1", count=10)
    with Store.open_existing(str(tmp_path / "results.db")) as store:
        assert len(store.sealed_runs()) == 1


def test_looking_into_a_missing_store_leaves_no_file(tmp_path: Path) -> None:
    with Store.look_into(str(tmp_path / "results.db")) as store:
        assert store.sealed_runs() == []
    assert list(tmp_path.iterdir()) == []


def test_a_missing_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        Store.open_existing(str(tmp_path / "results.db"))
    assert "rsbench sweep" in one_line(error)


def test_a_newer_database_is_refused_unchanged(database: str) -> None:
    with Store.create_or_open(database) as store, store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = content(database)
    for opening in OPENINGS:
        with pytest.raises(StoreError) as error:
            opening(database)
        assert "at revision 9999, which this rsbench does not know" in one_line(error)
        assert "upgrade rsbench, or give another database with --db" in one_line(error)
    assert content(database) == before
    assert revisions(database)[0] == "9999"


def test_a_database_of_something_else_is_refused_unchanged(database: str) -> None:
    engine = create_store_engine(parse_location(database))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE recipes (name TEXT)"))
    engine.dispose()
    before = content(database)
    for opening in OPENINGS:
        with pytest.raises(StoreError) as error:
            opening(database)
        assert "tables that are not rsbench's: give another database with --db" in one_line(error)
    assert content(database) == before
    assert revisions(database)[0] is None


def test_opening_again_finds_what_was_made(database: str) -> None:
    assert bring_up_to_date(database).before is None
    with Store.create_or_open(database) as store:
        store.record_dataset(DIGITS)
    assert bring_up_to_date(database).before == revisions(database)[1]
    with Store.open_existing(database) as store:
        store.record_dataset(DIGITS)
        assert store.sealed_runs() == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "results.db"
    file.write_bytes(b"idx\tlabel\tpredict\n" * 100)
    with pytest.raises(StoreError) as error:
        Store.create_or_open(str(file))
    assert "not a database" in one_line(error)


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as error:
        Store.create_or_open(str(tmp_path / "file" / "results.db"))
    assert "--db" in one_line(error)


def test_a_full_disk_is_one_line_and_leaves_no_half_chunk(tmp_path: Path) -> None:
    """SQLite itself reports a full disk when its file may not grow any more."""
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


def test_a_migration_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Half a schema would be taken for the tables of another program for ever after."""
    engine = create_sqlite_engine(tmp_path / "results.db")

    @event.listens_for(engine, "before_cursor_execute")
    def break_off(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if "CREATE TABLE certification_run" in statement:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upgrade(engine)
    engine.dispose()
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        assert store.sealed_runs() == []


def test_a_store_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a read-only mount; a test that runs as root cannot make a folder that it may not write itself."""
    file = tmp_path / "results.db"
    with Store.create_or_open(str(file)) as store:
        write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setattr(sqlite, "writable", lambda folder: False)
    with Store.open_existing(str(file)) as store:
        assert len(store.sealed_runs()) == 1
        with pytest.raises(StoreError, match="readonly"):
            write_run(store, DIGITS, "ssn", 1.0, 0, images="0:20:1", count=20)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_server_that_does_not_answer_is_one_line_without_the_password() -> None:
    # Port 1 of this machine: nothing listens there.
    for opening in (Store.create_or_open, Store.open_existing, Store.look_into, bring_up_to_date, revisions):
        with pytest.raises(StoreError) as error:
            opening("postgresql://user:secret@127.0.0.1:1/results")
        assert "postgresql://user@127.0.0.1:1/results: connection" in one_line(error)
        assert "check that the server runs" in one_line(error)
        assert "secret" not in one_line(error)


def test_an_unknown_role_or_database_is_one_line_without_the_password(postgresql: str) -> None:
    for url, advice in (
        (postgresql.replace("//postgres:", "//nobody:secret"), "check the user"),
        (postgresql.replace("/rsbench_", "/missing_"), "make the database first"),
    ):
        with pytest.raises(StoreError) as error:
            Store.create_or_open(url)
        assert advice in one_line(error)
        assert "secret" not in one_line(error)


def test_an_empty_server_database_has_no_results_yet_and_is_left_empty(postgresql: str) -> None:
    with pytest.raises(UsageError, match="no results yet at postgresql://postgres@/rsbench_"):
        Store.open_existing(postgresql)
    with Store.look_into(postgresql) as store:
        assert store.sealed_runs() == []
    assert revisions(postgresql)[0] is None


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("mysql://user:secret@host/results", "mysql is no database for a store"),
        ("postgresql://user:secret@host", "its URL names none"),
        ("postgresql://user:secret@host:port/results", "not a URL"),
        ("sqlite://", "its URL names none"),
        ("://", "not a URL"),
        (":memory:", "keeps nothing"),
    ],
)
def test_what_is_no_location_is_refused_without_its_password(url: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as error:
        Store.create_or_open(url)
    assert "secret" not in one_line(error)
