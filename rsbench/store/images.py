"""The images of a run, many at once. Shapes: N images."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, Select, func, select

from rsbench.errors import StoreError
from rsbench.records import ImageColumns
from rsbench.store.postgresql import copy_in
from rsbench.store.tables import image_result

_NAMES = tuple(column.name for column in image_result.columns)
# SQLAlchemy's own way from dictionaries to executemany costs three times as much as the insertion.
_INSERT = (
    f"INSERT INTO image_result ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))}) ON CONFLICT DO NOTHING"  # noqa: S608 - names of the schema
)


def add_images(connection: Connection, run_id: int, images: ImageColumns) -> None:
    """Add images to a run; the same image again is nothing.

    Raises StoreError, and names both rows, when another one is there under the key of one of them.
    """
    if not len(images):
        return
    if connection.dialect.name == "postgresql":
        added = copy_in(connection, image_result, _rows(run_id, images))
    else:
        added = connection.exec_driver_sql(_INSERT, list(_rows(run_id, images))).rowcount
    if added != len(images):
        _check_equal(connection, run_id, images)


def read_images(connection: Connection, run_id: int, *, with_votes: bool) -> ImageColumns:
    """The images of a run, by index."""
    return _columns(connection.execute(_selected(run_id, with_votes=with_votes)).all(), with_votes=with_votes)


def read_image_blocks(connection: Connection, run_id: int, size: int) -> Iterator[ImageColumns]:
    """The images of a run with their votes, by index, `size` at a time."""
    streamed = _selected(run_id, with_votes=True).execution_options(yield_per=size)
    for rows in connection.execute(streamed).partitions():
        yield _columns(rows, with_votes=True)


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


def _rows(run_id: int, images: ImageColumns) -> Iterator[tuple[Any, ...]]:
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


def _check_equal(connection: Connection, run_id: int, images: ImageColumns) -> None:
    wanted = {row[1]: dict(zip(_NAMES, row, strict=True)) for row in _rows(run_id, images)}
    query = select(image_result).where(image_result.c.run_id == run_id)
    for row in connection.execute(query).mappings():
        found, new = {**row}, wanted.get(row["image_index"])
        if new is not None and found != new:
            raise StoreError(
                f"image {found['image_index']} of run {run_id} is there already with {_told(found, new)}, "
                f"and came again with {_told(new, found)}: the runs that made them are not the same"
            )


def _told(row: dict[str, Any], other: dict[str, Any]) -> str:
    """What differs from another row."""
    values = (
        (name, value.hex() if isinstance(value, bytes) else value)
        for name, value in row.items()
        if value != other[name]
    )
    return ", ".join(f"{name} {value}" for name, value in values)
