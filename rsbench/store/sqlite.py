"""What is particular to SQLite."""

import os
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from rsbench.errors import StoreError


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


def make_folder(folder: Path) -> None:
    """Make a database's folder. Raises StoreError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({error.strerror}): give another file with --db") from error


def use_write_ahead_log(engine: Engine) -> None:
    """Let readers read while a run writes; the file remembers it."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode=WAL").close()
    finally:
        connection.close()
