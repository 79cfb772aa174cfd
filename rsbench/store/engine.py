"""Opening a store: the engine, the schema's revision, and database errors in one line."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError, IntegrityError

from rsbench.bundled import bundled
from rsbench.errors import StoreError, UnavailableError, first_line
from rsbench.store.location import Location, url_name
from rsbench.store.postgresql import create_postgresql_engine, lock_registry, lock_schema
from rsbench.store.seal import add_missing_seals
from rsbench.store.sqlite import create_sqlite_engine, lock_file

DAMAGED = "the file is damaged; restore a copy, or give another file with --db"


def create_store_engine(location: Location) -> Engine:
    """An engine on the database at a location; nothing is connected yet."""
    return create_postgresql_engine(location.url) if location.file is None else create_sqlite_engine(location.file)


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@cache
def _scripts() -> ScriptDirectory:
    """The migrations: reading them takes twice as long as asking for the board."""
    return ScriptDirectory.from_config(alembic_config())


def head_revision() -> str:
    """The revision that this code expects."""
    head = _scripts().get_current_head()
    assert head is not None  # noqa: S101 - the package ships its migrations
    return head


def current_revision(connection: Connection) -> str | None:
    """The revision of an open database, None when it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine, keep: Callable[[str], None] | None = None) -> str | None:
    """Bring the schema to the head, in one transaction, and return the revision that it was at.

    `keep` is called with that revision before an older schema is changed, while nobody else can change it.
    Raises StoreError when the database is newer than the code, or is not rsbench's.
    """
    with translated(engine), engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            lock_schema(connection)
        else:
            lock_file(connection)
        _refuse_unknown(connection)
        before = current_revision(connection)
        if keep is not None and before not in (None, head_revision()):
            keep(str(before))
        command.upgrade(alembic_config(connection), "head")
        add_missing_seals(connection)
    return before


def check_revision(engine: Engine) -> None:
    """Raises StoreError unless the database has exactly the schema that this code expects."""
    with translated(engine), engine.connect() as connection:
        _refuse_unknown(connection)
        revision = current_revision(connection)
    if revision != head_revision():
        # A file is copied before it is upgraded; how a server is kept is its owner's affair.
        first = "" if engine.dialect.name == "sqlite" else " (pg_dump it first if you may want to go back)"
        raise StoreError(
            f"the database is at revision {revision}, this rsbench needs {head_revision()}: run rsbench db upgrade"
            f"{first}"
        )


def is_empty(engine: Engine) -> bool:
    """Whether the database has no table at all."""
    with translated(engine), engine.connect() as connection:
        return not inspect(connection).get_table_names()


def is_sound(engine: Engine) -> bool:
    """Whether the structure of a SQLite file is whole; a server looks after its own."""
    if engine.dialect.name != "sqlite":
        return True
    try:
        with translated(engine), engine.connect() as connection:
            return connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"
    except StoreError:
        return False


def _refuse_unknown(connection: Connection) -> None:
    revision = current_revision(connection)
    known = {script.revision for script in _scripts().walk_revisions()}
    if revision is None and inspect(connection).get_table_names():
        raise StoreError("the database holds tables that are not rsbench's: give another database with --db")
    if revision is not None and revision not in known:
        raise StoreError(
            f"the database is at revision {revision}, which this rsbench does not know: it was written by a newer "
            "version; upgrade rsbench, or give another database with --db"
        )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. Raises StoreError where it fails."""
    with translated(engine), engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            # One that has read before it writes is refused at once where another process wrote in between.
            lock_file(connection)
        yield connection


@contextmanager
def registering(engine: Engine) -> Iterator[Connection]:
    """A transaction in which what is not there stays so until it is added. Raises StoreError where it fails."""
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            lock_registry(connection)
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turns the database's errors into one line that names it and says what to do."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(
            f"the database refused a row ({first_line(error.orig or error)}): is another rsbench writing the same run?"
        ) from error
    except UnicodeDecodeError as error:
        # SQLite names what it cannot read, and a damaged name is no text.
        raise StoreError(f"{url_name(engine.url)}: text in it cannot be decoded: {DAMAGED}") from error
    except DBAPIError as error:
        raise _of_database(engine, error.orig or error, lost=error.connection_invalidated) from error
    except psycopg.Error as error:
        # COPY is psycopg's own, of which SQLAlchemy knows nothing.
        raise _of_database(engine, error, lost=False) from error


def _of_database(engine: Engine, error: BaseException, *, lost: bool) -> StoreError:
    kind = UnavailableError if lost or _may_pass(error) else StoreError
    told = first_line(error)
    return kind(f"{url_name(engine.url)}: {told}: {_advice(told)}")


def _may_pass(error: BaseException) -> bool:
    """Whether a server is not there, goes or comes, or a file is locked."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    # Where there is no connection there is no code either.
    code = error.sqlstate if isinstance(error, psycopg.OperationalError) else "none of these"
    return code is None or code.startswith("08") or code in ("57P01", "57P02", "57P03")


def _advice(message: str) -> str:
    for sign, advice in (
        ("full", "free some space, then run the same command again: what was committed is kept"),
        ("No space left", "free some space, then run the same command again: what was committed is kept"),
        ("disk I/O", "is the disk full or gone? what was committed is kept, and the same command resumes"),
        ("locked", "another process holds it; wait for it, then run the same command again"),
        ("readonly", "give a file that can be written with --db"),
        ("not a database", "give another file with --db"),
        ("malformed", DAMAGED),
        ("Could not decode", DAMAGED),
        ("unable to open", "check that the folder exists and can be written"),
        ("password", "check the user and the password, or put it into ~/.pgpass"),
        ("role", "check the user"),
        ("does not exist", "make the database first, or check its name"),
        ("connection", "check that the server runs, and its host and port; what was committed is kept"),
        ("host", "check that the server runs, and its host and port; what was committed is kept"),
    ):
        if sign in message:
            return advice
    return "nothing was half-written; run the same command again once the cause is gone"
