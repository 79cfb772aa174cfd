"""The images of a run, many at once. Shapes: N images."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, Row, Select, func, select

from rsbench.errors import StoreError
from rsbench.records import ImageColumns
from rsbench.store.postgresql import copy_in
from rsbench.store.tables import image_result

# Rows that are read at once.
_AT_ONCE = 10_000
_NAMES = tuple(column.name for column in image_result.columns)
# SQLAlchemy's own way from dictionaries to executemany costs three times as much as the insertion.
_INSERT = (
    f"INSERT INTO image_result ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))}) "  # noqa: S608 - names of the schema
    "ON CONFLICT DO NOTHING"
)
# A row of the table.
_Image = tuple[Any, ...]


def add_images(connection: Connection, run_id: int, images: ImageColumns) -> int:
    """Add images to a run; the same image again is nothing. Returns how many were new.

    The caller holds the run in this transaction, so that nobody else adds to it until the transaction ends.
    Raises StoreError, and names both rows, when another one is there under the key of one of them.
    """
    # That one is there already is so rare that nobody asks before: chunks of a run end in any order, and to read what
    # lies between them would take longer than to write them.
    rows = list(_rows(run_id, images))
    if connection.dialect.name == "postgresql":
        return _copy(connection, run_id, rows)
    # A savepoint would be gone where the disk is full, and with it what the database said of that.
    added = connection.exec_driver_sql(_INSERT, rows).rowcount if rows else 0
    if added < len(rows):
        _missing(connection, run_id, rows)
    return added


def _copy(connection: Connection, run_id: int, rows: list[_Image]) -> int:
    try:
        with connection.begin_nested():
            copy_in(connection, image_result, rows)
    except UniqueViolation:
        rows = _missing(connection, run_id, rows)
        copy_in(connection, image_result, rows)
    return len(rows)


def read_images(connection: Connection, run_id: int, *, with_votes: bool) -> ImageColumns:
    """The images of a run, by index."""
    # As rows, all of them at once would take five times the memory.
    blocks = list(_blocks(connection, run_id, _AT_ONCE, with_votes=with_votes)) or [_columns([], with_votes=with_votes)]
    sigma_N, votes = [block.sigma_N for block in blocks], [block.votes for block in blocks]
    return ImageColumns(
        index_N=np.concatenate([block.index_N for block in blocks]),
        label_N=np.concatenate([block.label_N for block in blocks]),
        predicted_N=np.concatenate([block.predicted_N for block in blocks]),
        radius_N=np.concatenate([block.radius_N for block in blocks]),
        sigma_N=None if sigma_N[0] is None else np.concatenate([part_N for part_N in sigma_N if part_N is not None]),
        votes=None if votes[0] is None else tuple(chain.from_iterable(part for part in votes if part is not None)),
    )


def read_image_blocks(connection: Connection, run_id: int, size: int) -> Iterator[ImageColumns]:
    """The images of a run with their votes, by index, `size` at a time."""
    yield from _blocks(connection, run_id, size, with_votes=True)


def _blocks(connection: Connection, run_id: int, size: int, *, with_votes: bool) -> Iterator[ImageColumns]:
    streamed = _selected(run_id, with_votes=with_votes).execution_options(yield_per=size)
    for rows in connection.execute(streamed).partitions():
        yield _columns(rows, with_votes=with_votes)


def _selected(run_id: int, *, with_votes: bool) -> Select[*tuple[Any, ...]]:
    image = image_result.c
    columns = [image.image_index, image.label, func.coalesce(image.predicted, -1), image.radius, image.sigma]
    if with_votes:
        columns.append(image.votes)
    return select(*columns).where(image.run_id == run_id).order_by(image.image_index)


def _columns(rows: Sequence[Row[*tuple[Any, ...]]], *, with_votes: bool) -> ImageColumns:
    index, label, predicted, radius, sigma, *rest = zip(*rows, strict=True) if rows else ((),) * (5 + with_votes)
    votes = rest[0] if rest else ()
    return ImageColumns(
        index_N=np.array(index, dtype=np.int64),
        label_N=np.array(label, dtype=np.int64),
        predicted_N=np.array(predicted, dtype=np.int64),
        radius_N=np.array(radius, dtype=np.float64),
        sigma_N=np.array(sigma, dtype=np.float64) if any(value is not None for value in sigma[:1]) else None,
        votes=tuple(votes) if any(content is not None for content in votes[:1]) else None,
    )


def _rows(run_id: int, images: ImageColumns) -> Iterator[_Image]:
    """The images as rows of the table, in the order of its columns."""
    count = len(images)
    return zip(
        [run_id] * count,
        images.index_N.tolist(),
        images.radius_N.tolist(),
        images.label_N.tolist(),
        [None if predicted < 0 else predicted for predicted in images.predicted_N.tolist()],
        [None] * count if images.sigma_N is None else images.sigma_N.tolist(),
        [None] * count if images.votes is None else images.votes,
        strict=True,
    )


def _missing(connection: Connection, run_id: int, rows: list[_Image]) -> list[_Image]:
    """The rows of images that are not there yet. Raises StoreError as `add_images` does."""
    image, wanted = image_result.c, {row[1] for row in rows}
    there = select(image_result).where(image.run_id == run_id, image.image_index.between(min(wanted), max(wanted)))
    streamed = connection.execute(there.execution_options(yield_per=1000))
    found = {row.image_index: tuple(row) for row in streamed if row.image_index in wanted}
    for row in rows:
        if (known := found.get(row[1], row)) != row:
            raise StoreError(
                f"image {row[1]} of run {run_id} is there already with {_told(known, row)}, "
                f"and came again with {_told(row, known)}: the runs that made them are not the same"
            )
    return [row for row in rows if row[1] not in found]


def _told(row: _Image, other: _Image) -> str:
    """What differs from another row."""
    return ", ".join(
        f"{name} {value.hex() if isinstance(value, bytes) else value}"
        for name, value, another in zip(_NAMES, row, other, strict=True)
        if value != another
    )
