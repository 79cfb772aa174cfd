"""What is particular to PostgreSQL."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    create_engine,
    delete,
    select,
)
from sqlalchemy.dialects.postgresql import insert

_TYPES = {BigInteger: "int8", Integer: "int4", Float: "float8", LargeBinary: "bytea"}
# Any number will do, as long as every rsbench takes the same.
_SCHEMA_LOCK = 7_251_983
_REGISTRY_LOCK = 7_251_984


def create_postgresql_engine(url: URL) -> Engine:
    """An engine on a PostgreSQL database: ten seconds of patience, and no use of a connection that has died."""
    return create_engine(url, connect_args={"connect_timeout": 10}, pool_pre_ping=True)


def lock_schema(connection: Connection) -> None:
    """Let no other rsbench change the schema until this transaction ends."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})")


def lock_registry(connection: Connection) -> None:
    """Let no other rsbench register a run, a trial or a checkpoint until this transaction ends."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_REGISTRY_LOCK})")


def copy_in(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> int:
    """Add rows, in the order of the table's columns, by COPY, but for those whose key is taken.

    Returns how many were new.
    """
    staging = _staging(table)
    staging.create(connection, checkfirst=True)
    names = [column.name for column in table.columns]
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {staging.name} ({', '.join(names)}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types([_TYPES[type(column.type)] for column in table.columns])
        for row in rows:
            copy.write_row(row)
    added = connection.execute(insert(table).from_select(names, select(staging)).on_conflict_do_nothing()).rowcount
    connection.execute(delete(staging))
    return added


def _staging(table: Table) -> Table:
    """A table of the same columns that lives and dies with the connection."""
    columns = [Column(column.name, column.type) for column in table.columns]
    return Table(
        f"staging_{table.name}",
        MetaData(),
        *columns,
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
    )
