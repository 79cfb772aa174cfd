"""Whether a store is still what it was when its runs were sealed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, ForeignKey, Row, func, select, text

from rsbench.records import ImageColumns
from rsbench.store import tables as t
from rsbench.store.curves import blocks_of
from rsbench.store.images import read_image_blocks
from rsbench.store.seal import BLOCK, seal_of
from rsbench.theory.metrics import average_certified_radius
from rsbench.votes_format import decode_votes


@dataclass(frozen=True)
class Finding:
    """What is wrong. `run`: the fingerprint of the run that it concerns, None where it concerns no single one."""

    run: str | None
    message: str


def check_store(
    connection: Connection, fingerprints: Sequence[str], checked: Callable[[str], None]
) -> Iterator[Finding]:
    """What is wrong with a database, or, where fingerprints are given, with these runs. See `Queries.check`."""
    if not fingerprints:
        yield from _pages(connection)
        yield from _references(connection)
    run = t.certification_run
    query = select(run).where(run.c.state == "sealed").order_by(run.c.id)
    if fingerprints:
        query = query.where(run.c.fingerprint.in_(fingerprints))
    for row in connection.execute(query).all():
        yield from (Finding(row.fingerprint, message) for message in _run(connection, row))
        checked(row.fingerprint)


def _pages(connection: Connection) -> Iterator[Finding]:
    """SQLite's own check of its file; a server checks its pages itself."""
    if connection.dialect.name == "sqlite":
        for line in connection.scalars(text("PRAGMA integrity_check")):
            if line != "ok":
                yield Finding(None, f"the file is damaged: {line}")


def _references(connection: Connection) -> Iterator[Finding]:
    for table in t.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            if orphans := _orphans(connection, key):
                yield Finding(
                    None,
                    f"{orphans} rows of {table.name} refer by {key.parent.name} to no row of {key.column.table.name}",
                )


def _orphans(connection: Connection, key: ForeignKey) -> int:
    parent = key.column.table.alias("parent")
    referring = select(key.parent.label("value")).where(key.parent.is_not(None)).distinct().subquery()
    missing = ~select(parent.c[key.column.name]).where(parent.c[key.column.name] == referring.c.value).exists()
    return connection.scalar(select(func.count()).select_from(referring).where(missing)) or 0


def _run(connection: Connection, run: Row[*tuple[Any, ...]]) -> Iterator[str]:
    seen: list[ImageColumns] = []
    damaged: list[str] = []

    def passing() -> Iterator[ImageColumns]:
        for block in read_image_blocks(connection, run.id, BLOCK):
            damaged.extend(_unreadable(block))
            seen.append(ImageColumns(block.index_N, block.label_N, block.predicted_N, block.radius_N))
            yield block

    seal = seal_of(run.spec, passing())
    if seal != run.seal:
        yield f"its rows or its specification are not those that were sealed: the seal is {run.seal}, they give {seal}"
    yield from damaged
    images = sum(map(len, seen))
    if images != run.image_count:
        yield f"it has {images} images, and was sealed with {run.image_count}"
    yield from _curves(connection, run, seen)


def _unreadable(block: ImageColumns) -> Iterator[str]:
    try:
        if block.votes is not None:
            decode_votes(block.votes)
    except ValueError as error:
        yield f"the votes of images {block.index_N[0]} to {block.index_N[-1]} cannot be read: {error}"


def _curves(connection: Connection, run: Row[*tuple[Any, ...]], seen: Sequence[ImageColumns]) -> Iterator[str]:
    curve, block = t.certified_curve, t.curve_block
    curves = connection.execute(select(curve).where(curve.c.run_id == run.id).order_by(curve.c.id)).all()
    if [row.is_primary for row in curves].count(True) != 1:
        yield "it has not exactly one curve of its own"
    for row in curves:
        name = f"its curve {row.certificate}, n = {row.n}"
        stored = connection.execute(
            select(block.c.first_radius, block.c.above, block.c.radii, block.c.counts)
            .where(block.c.curve_id == row.id)
            .order_by(block.c.first_radius)
        ).all()
        if sum(int(np.frombuffer(found.counts, "<u4").sum()) for found in stored) != row.correct:
            yield f"{name} has not as many radii as it has correct images, {row.correct}"
        if row.is_primary and seen:
            yield from _primary(row, [tuple(found) for found in stored], seen, name)


def _primary(
    row: Row[*tuple[Any, ...]],
    stored: Sequence[tuple[float, int, bytes, bytes]],
    seen: Sequence[ImageColumns],
    name: str,
) -> Iterator[str]:
    correct_N = np.concatenate([block.correct_N for block in seen])
    radii = np.concatenate([block.radius_N for block in seen])[correct_N]
    abstained = sum(int((block.predicted_N < 0).sum()) for block in seen)
    average = average_certified_radius(radii, len(correct_N))
    for what, kept, found in (
        ("correct images", row.correct, int(correct_N.sum())),
        ("abstentions", row.abstained, abstained),
        ("the average certified radius", row.average_certified_radius, average),
    ):
        if kept != found:
            yield f"{name} has {what} {kept}, and its rows give {found}"
    if [tuple(block.values()) for block in blocks_of(radii)] != stored:
        yield f"{name} is not that of its rows"
