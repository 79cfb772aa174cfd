"""The image results of a run: adding and reading many rows of the table `image_result` at once. Shapes: N images."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from psycopg.errors import UniqueViolation
from sqlalchemy import Connection, Row, func, select

from rsbench.errors import StoreError
from rsbench.records import ImageColumns
from rsbench.store.engine import copy_rows
from rsbench.store.run_records import run_name
from rsbench.store.tables import image_result

# Rows that are converted to arrays together: a whole test set of CIFAR-10, which is what most runs certify.
_READ_SIZE = 10_000
# Rows that are fetched together to be compared, which keeps few of them in memory.
_COMPARE_SIZE = 1000
_COLUMN_NAMES = tuple(column.name for column in image_result.columns)
_INDEX = _COLUMN_NAMES.index("image_index")
# Executed directly because SQLAlchemy takes three times as long as the insertion to convert dictionaries of parameters.
_INSERT = (
    f"INSERT INTO image_result ({', '.join(_COLUMN_NAMES)}) "  # noqa: S608 - names of the schema
    f"VALUES ({', '.join('?' * len(_COLUMN_NAMES))}) ON CONFLICT DO NOTHING"
)
# Values in the order of the columns of `image_result`.
_ImageRow = tuple[Any, ...]


def add_images(connection: Connection, run_id: int, images: ImageColumns) -> int:
    """Add images to a run, and return how many were new. Adding an identical row again has no effect.

    The caller holds a lock on the run, so that nobody else adds images to it before the transaction ends.
    Raises StoreError, which shows both rows, when a different row is stored for one of the images.
    """
    # Rows are inserted without looking for existing ones first. Existing rows are rare, and chunks finish in any order,
    # so looking for them would read many other rows and take longer than the insertion.
    rows = list(_rows(run_id, images))
    if connection.dialect.name == "postgresql":
        return _copy_new_rows(connection, run_id, rows)
    # No savepoint as for PostgreSQL: if the disk is full, SQLite discards it, and the error of releasing it would hide
    # the one that says so.
    added = connection.exec_driver_sql(_INSERT, rows).rowcount if rows else 0
    if added < len(rows):
        _select_new_rows(connection, run_id, rows)
    return added


def _copy_new_rows(connection: Connection, run_id: int, rows: list[_ImageRow]) -> int:
    try:
        with connection.begin_nested():
            copy_rows(connection, image_result, rows)
    except UniqueViolation:
        rows = _select_new_rows(connection, run_id, rows)
        copy_rows(connection, image_result, rows)
    return len(rows)


def _select_new_rows(connection: Connection, run_id: int, rows: list[_ImageRow]) -> list[_ImageRow]:
    """Return the rows whose image is not stored yet. Raises StoreError as `add_images` does."""
    image, indices = image_result.c, {row[_INDEX] for row in rows}
    query = select(image_result).where(image.run_id == run_id, image.image_index.between(min(indices), max(indices)))
    candidates = connection.execute(query.execution_options(yield_per=_COMPARE_SIZE))
    stored = {row.image_index: tuple(row) for row in candidates if row.image_index in indices}
    for row in rows:
        stored_row = stored.get(row[_INDEX], row)
        if stored_row != row:
            raise StoreError(
                f"image {row[_INDEX]} of {run_name(connection, run_id)} is stored with "
                f"{_difference_text(stored_row, row)}, and was computed again with "
                f"{_difference_text(row, stored_row)}: check that all workers run the same code and the same packages, "
                "and see rsbench verify"
            )
    return [row for row in rows if row[_INDEX] not in stored]


def _difference_text(row: _ImageRow, other: _ImageRow) -> str:
    """Return the columns and values of a row that differ from another row."""
    return ", ".join(
        f"{name} {value.hex() if isinstance(value, bytes) else value}"
        for name, value, other_value in zip(_COLUMN_NAMES, row, other, strict=True)
        if value != other_value
    )


def _rows(run_id: int, images: ImageColumns) -> Iterator[_ImageRow]:
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


def read_images(connection: Connection, run_id: int, *, with_votes: bool) -> ImageColumns:
    """Return all images of a run, ordered by index."""
    # Converted to arrays block by block, because the rows of all images take five times the memory of the arrays.
    blocks = list(read_image_blocks(connection, run_id, _READ_SIZE, with_votes=with_votes))
    if not blocks:
        return _columns([], with_votes=with_votes)
    sigma_parts = [block.sigma_N for block in blocks if block.sigma_N is not None]
    votes_parts = [block.votes for block in blocks if block.votes is not None]
    return ImageColumns(
        index_N=np.concatenate([block.index_N for block in blocks]),
        label_N=np.concatenate([block.label_N for block in blocks]),
        predicted_N=np.concatenate([block.predicted_N for block in blocks]),
        radius_N=np.concatenate([block.radius_N for block in blocks]),
        sigma_N=np.concatenate(sigma_parts) if sigma_parts else None,
        votes=tuple(chain.from_iterable(votes_parts)) if votes_parts else None,
    )


def read_image_blocks(
    connection: Connection, run_id: int, size: int, *, with_votes: bool = True
) -> Iterator[ImageColumns]:
    """Yield the images of a run, ordered by index, `size` at a time."""
    image = image_result.c
    columns = [image.image_index, image.label, func.coalesce(image.predicted, -1), image.radius, image.sigma]
    if with_votes:
        columns.append(image.votes)
    query = select(*columns).where(image.run_id == run_id).order_by(image.image_index)
    for rows in connection.execute(query.execution_options(yield_per=size)).partitions():
        yield _columns(rows, with_votes=with_votes)


def _columns(rows: Sequence[Row[*tuple[Any, ...]]], *, with_votes: bool) -> ImageColumns:
    index, label, predicted, radius, sigma, *rest = zip(*rows, strict=True) if rows else ((),) * (5 + with_votes)
    votes = rest[0] if rest else ()
    return ImageColumns(
        index_N=np.array(index, dtype=np.int64),
        label_N=np.array(label, dtype=np.int64),
        predicted_N=np.array(predicted, dtype=np.int64),
        radius_N=np.array(radius, dtype=np.float64),
        # Within a run, σ and votes are null in all rows or in none.
        sigma_N=np.array(sigma, dtype=np.float64) if any(value is not None for value in sigma[:1]) else None,
        votes=tuple(votes) if any(content is not None for content in votes[:1]) else None,
    )
