"""What is particular to PostgreSQL."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import URL, BigInteger, Connection, Engine, Float, Integer, LargeBinary, Table, create_engine

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


def copy_in(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Add rows, in the order of the table's columns, by COPY. Raises psycopg.Error when one of them is refused."""
    names = ", ".join(column.name for column in table.columns)
    with connection.connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types([_TYPES[type(column.type)] for column in table.columns])
        for row in rows:
            copy.write_row(row)
