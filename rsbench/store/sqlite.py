"""What is particular to SQLite."""

import os
import shutil
import sqlite3
from contextlib import closing
from itertools import chain, count
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event

from rsbench.errors import StoreError
from rsbench.store.filesystem import network_type


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
        # 64 MB of pages, which hold the blocks of a thousand runs' curves.
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "cache_size=-65536"):
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


def choose_journal(engine: Engine, file: Path) -> None:
    """Let readers read while a run writes, by a write-ahead log, where that is safe; the file remembers it."""
    mode = "WAL" if network_type(file) is None else "DELETE"
    connection = engine.raw_connection()
    try:
        connection.cursor().execute(f"PRAGMA journal_mode={mode}").close()
    finally:
        connection.close()


def lock_file(connection: Connection) -> None:
    """Let nobody else write to the database until this transaction ends."""
    connection.exec_driver_sql("ROLLBACK")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def back_up(file: Path, revision: str) -> Path:
    """Copy a database to a new file beside it, named by its revision, and wait until the disk has it.

    The caller holds `lock_file`. Raises StoreError, and leaves no copy, when that fails.
    """
    partial = file.with_name(f"{file.name}.{revision}.partial")
    try:
        _remove(partial)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
            # Else a copy that is looked into gets files of its own beside it.
            copy.execute("PRAGMA journal_mode=DELETE")
        shutil.copymode(file, partial)
        _wait_for_disk(partial)
        backup = partial.rename(_free_name(file, revision))
        _wait_for_disk(file.parent)
    except (sqlite3.Error, OSError) as error:
        _remove(partial)
        told = (isinstance(error, OSError) and error.strerror) or error
        raise StoreError(
            f"{file} could not be copied before its upgrade ({told}): nothing was changed; make room beside it, then "
            "run rsbench db upgrade again"
        ) from error
    return backup


def _free_name(file: Path, revision: str) -> Path:
    numbers = chain([""], map("-{}".format, count(2)))
    names = (file.with_name(f"{file.name}.{revision}{number}.backup") for number in numbers)
    return next(name for name in names if not name.exists())


def _remove(copy: Path) -> None:
    for file in (copy, copy.with_name(f"{copy.name}-journal")):
        file.unlink(missing_ok=True)


def _wait_for_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
