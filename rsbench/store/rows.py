"""Small things that every writer of rows needs."""

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection, Insert, func, insert, select

from rsbench.records import DatasetInfo
from rsbench.store import tables as t


def now() -> str:
    """The time, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def has(connection: Connection, condition: ColumnElement[bool]) -> bool:
    """Whether there is a row."""
    return bool(connection.scalar(select(func.count()).where(condition)))


def inserted_id(connection: Connection, statement: Insert) -> int:
    """The key of the row that a statement inserts."""
    key = connection.execute(statement).inserted_primary_key
    assert key is not None  # noqa: S101 - the statement inserts one row
    return int(key[0])


def record_dataset(connection: Connection, info: DatasetInfo) -> None:
    """Register a data set; nothing happens when it is known."""
    channels, height, width = info.shape
    if not has(connection, t.dataset.c.fingerprint == info.fingerprint):
        connection.execute(
            insert(t.dataset).values(
                fingerprint=info.fingerprint, name=info.name, images=info.images, classes=info.classes,
                channels=channels, height=height, width=width, q=info.q,
            )
        )  # fmt: skip
