"""Adding many rows at once: the same row again is nothing, another row under its key is an error."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import sqlite

from rsbench.errors import StoreError
from rsbench.store.postgresql import copy_in


def add_image_rows(connection: Connection, table: Table, run_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows of one run to a table keyed by (run_id, image_index).

    Raises StoreError, and names both, when another row is there under the key of one of them.
    """
    if not rows:
        return
    if connection.dialect.name == "postgresql":
        added = copy_in(connection, table, rows)
    else:
        added = connection.execute(sqlite.insert(table).on_conflict_do_nothing(), list(rows)).rowcount
    if added != len(rows):
        _check_equal(connection, table, run_id, rows)


def _check_equal(connection: Connection, table: Table, run_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    wanted = {row["image_index"]: dict(row) for row in rows}
    query = select(table).where(table.c.run_id == run_id)
    for row in connection.execute(query).mappings():
        found, new = {**row}, wanted.get(row["image_index"])
        if new is not None and found != new:
            raise StoreError(
                f"image {found['image_index']} of run {run_id} is there already with {_told(found, new)}, "
                f"and came again with {_told(new, found)}: the runs that made them are not the same"
            )


def _told(row: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """What differs from another row."""
    values = (
        (name, value.hex() if isinstance(value, bytes) else value)
        for name, value in row.items()
        if value != other[name]
    )
    return ", ".join(f"{name} {value}" for name, value in values)
