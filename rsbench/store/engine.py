"""Opening a store: the engine, the schema's revision, and database errors in one line."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from rsbench.bundled import bundled
from rsbench.errors import StoreError, UsageError


def sqlite_file(location: str) -> Path:
    """The file of `sqlite:///FILE` or of a plain path. Raises UsageError for any other database."""
    if "://" not in location:
        if location == ":memory:":
            raise UsageError("a database in memory keeps nothing: give a file with --db")
        return Path(location)
    try:
        url = make_url(location)
    except ArgumentError as error:
        raise UsageError("the database is not a URL: give a path or sqlite:///FILE") from error
    if url.get_backend_name() != "sqlite" or not url.database:
        raise UsageError(f"{url.get_backend_name()} is not supported by this version: give a path or sqlite:///FILE")
    return Path(url.database)


def make_folder(folder: Path) -> None:
    """Make a database's folder. Raises StoreError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({error.strerror}): give another file with --db") from error


def create_sqlite_engine(file: Path) -> Engine:
    """An engine on a SQLite file: foreign keys checked, real transactions, ten seconds of patience with a lock.

    A file in a folder that cannot be written is opened to be read only.
    """
    url = URL.create("sqlite", database=str(file))
    if file.is_file() and not writable(file.parent):
        # Otherwise SQLite makes files beside the database even to read it.
        query = {"mode": "ro", "immutable": "1", "uri": "true"}
        url = URL.create("sqlite", database=f"file:{quote(str(file.resolve()))}", query=query)
    engine = create_engine(url, connect_args={"timeout": 10})

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        # Python's own transactions do not cover a change of the schema: SQLAlchemy begins them itself.
        connection.isolation_level = None
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder."""
    return os.access(folder, os.W_OK)


def use_write_ahead_log(engine: Engine) -> None:
    """Let readers read while a run writes; the file remembers it."""
    with translated(engine):
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode=WAL").close()
        finally:
            connection.close()


def alembic_config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def head_revision() -> str:
    """The revision that this code expects."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    assert head is not None  # noqa: S101 - the package ships its migrations
    return head


def current_revision(connection: Connection) -> str | None:
    """The revision of an open database, None when it has none."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(engine: Engine) -> None:
    """Bring the schema to the head, in one transaction. Raises StoreError when the database is newer than the code."""
    with translated(engine), engine.begin() as connection:
        _refuse_unknown(connection)
        command.upgrade(alembic_config(connection), "head")


def check_revision(engine: Engine) -> None:
    """Raises StoreError unless the database has exactly the schema that this code expects."""
    with translated(engine), engine.connect() as connection:
        _refuse_unknown(connection)
        revision = current_revision(connection)
    if revision != head_revision():
        raise StoreError(
            f"the database is at revision {revision}, this rsbench needs {head_revision()}: run rsbench db upgrade"
        )


def is_empty(engine: Engine) -> bool:
    """Whether the database has no table at all."""
    with translated(engine), engine.connect() as connection:
        return not inspect(connection).get_table_names()


def _refuse_unknown(connection: Connection) -> None:
    revision = current_revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    if revision is None and inspect(connection).get_table_names():
        raise StoreError("the database holds tables that are not rsbench's: give another file with --db")
    if revision is not None and revision not in known:
        raise StoreError(
            f"the database is at revision {revision}, which this rsbench does not know: it was written by a newer "
            "version; upgrade rsbench, or give another file with --db"
        )


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Turns the database's errors into one line that names the file and says what to do."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(
            f"the database refused a row ({error.orig}): is another rsbench writing the same run?"
        ) from error
    except DBAPIError as error:
        raise StoreError(f"{engine.url.database}: {error.orig}: {_advice(str(error.orig))}") from error


def _advice(message: str) -> str:
    for sign, advice in (
        ("full", "free some space, then run the same command again: what was committed is kept"),
        ("disk I/O", "is the disk full or gone? what was committed is kept, and the same command resumes"),
        ("locked", "another process holds it; wait for it, then run the same command again"),
        ("readonly", "give a file that can be written with --db"),
        ("not a database", "give another file with --db"),
        ("malformed", "the file is damaged; restore a copy, or give another file with --db"),
        ("unable to open", "check that the folder exists and can be written"),
    ):
        if sign in message:
            return advice
    return "nothing was half-written; run the same command again once the cause is gone"
