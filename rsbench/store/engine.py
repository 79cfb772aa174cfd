"""Connections to SQLite and PostgreSQL: engines, locks, transactions, and small statements that every writer uses."""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import (
    URL,
    BigInteger,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Insert,
    Integer,
    LargeBinary,
    Table,
    create_engine,
    event,
    func,
    inspect,
    select,
)

from rsbench.errors import StoreError
from rsbench.store.database_errors import translate_errors
from rsbench.store.location import Location, network_filesystem_type

# Keys of PostgreSQL's advisory locks. The numbers are arbitrary, but every rsbench must use the same ones.
_SCHEMA_LOCK = 7_251_983
_REGISTRATION_LOCK = 7_251_984

_COPY_TYPES = {BigInteger: "int8", Integer: "int4", Float: "float8", LargeBinary: "bytea"}


def create_store_engine(location: Location) -> Engine:
    """Create an engine for the database at a location, without connecting to it.

    A connection waits up to ten seconds for a locked file or a server.
    """
    if location.file is not None:
        return create_sqlite_engine(location.file)
    return create_engine(location.url, connect_args={"connect_timeout": 10}, pool_pre_ping=True)


def create_sqlite_engine(file: Path) -> Engine:
    """Create an engine for a SQLite file that enforces foreign keys and runs schema changes in transactions.

    A file in a folder that cannot be written is opened read-only.
    """
    url = URL.create("sqlite", database=str(file))
    if file.is_file() and not is_writable(file.parent):
        # Without immutable=1, SQLite creates files beside the database even to read it.
        query = {"mode": "ro", "immutable": "1", "uri": "true"}
        url = URL.create("sqlite", database=f"file:{quote(str(file.resolve()))}", query=query)
    engine = create_engine(url, connect_args={"timeout": 10})

    @event.listens_for(engine, "connect")
    def configure_connection(connection: sqlite3.Connection, _record: Any) -> None:
        # The transactions of Python's sqlite3 module do not cover schema changes. Without an isolation level the module
        # starts none, and `begin_transaction` does.
        connection.isolation_level = None
        # The cache of 64 MB holds the curve blocks of a thousand runs.
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def is_writable(folder: Path) -> bool:
    """Return whether files can be created in a folder."""
    return os.access(folder, os.W_OK)


def create_folder(folder: Path) -> None:
    """Create the folder of a SQLite file if it does not exist. Raises StoreError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be created ({error.strerror}): give another file with --db") from error


def set_journal_mode(engine: Engine, file: Path) -> None:
    """Use a write-ahead log, so that others can read while a run writes, except on a network file system.

    The mode is stored in the file and applies to all later connections.
    """
    mode = "WAL" if network_filesystem_type(file) is None else "DELETE"
    connection = engine.raw_connection()
    try:
        connection.cursor().execute(f"PRAGMA journal_mode={mode}").close()
    finally:
        connection.close()


def is_empty(engine: Engine) -> bool:
    """Return whether the database has no tables."""
    with translate_errors(engine), engine.connect() as connection:
        return not inspect(connection).get_table_names()


def is_intact(engine: Engine) -> bool:
    """Return whether SQLite finds the structure of its file undamaged. Always true for a PostgreSQL server."""
    if engine.dialect.name != "sqlite":
        return True
    try:
        with translate_errors(engine), engine.connect() as connection:
            return connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() == "ok"
    except StoreError:
        return False


@contextmanager
def write_transaction(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that writes; commit it at the end of the block, or roll it back if the block raises.

    Raises StoreError when the database fails.
    """
    with translate_errors(engine), engine.begin() as connection:
        if connection.dialect.name == "sqlite":
            # A transaction that begins by reading fails at its first write if another process wrote in between.
            lock_sqlite_file(connection)
        yield connection


@contextmanager
def registration_transaction(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that adds a row unless the row exists.

    It holds a lock that all registration transactions take, so that no other process adds the same row between the
    check and the insertion. Raises StoreError when the database fails.
    """
    with write_transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_REGISTRATION_LOCK})")
        yield connection


def lock_schema(connection: Connection) -> None:
    """Keep every other process from changing the schema until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")
    else:
        lock_sqlite_file(connection)


def lock_sqlite_file(connection: Connection) -> None:
    """Restart a SQLite transaction, which has done nothing yet, as one that excludes all other writers."""
    connection.exec_driver_sql("ROLLBACK")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def row_exists(connection: Connection, condition: ColumnElement[bool]) -> bool:
    """Return whether a row fulfils a condition, which names the table by its columns."""
    return bool(connection.scalar(select(func.count()).where(condition)))


def insert_row(connection: Connection, statement: Insert) -> int:
    """Insert one row into a table whose primary key is an integer, and return that key."""
    key = connection.execute(statement).inserted_primary_key
    assert key is not None  # noqa: S101 - the statement inserts one row
    return int(key[0])


def copy_rows(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows into a PostgreSQL table by COPY, values in the order of the table's columns.

    Raises psycopg.Error when the server refuses a row.
    """
    names = ", ".join(column.name for column in table.columns)
    with connection.connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types([_COPY_TYPES[type(column.type)] for column in table.columns])
        for row in rows:
            copy.write_row(row)
