"""Checking that a database is intact, and that sealed runs are unchanged. Shapes: N images."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, ForeignKey, Row, func, select, text

from rsbench.records import ImageColumns
from rsbench.store import tables as t
from rsbench.store.curves import curve_blocks
from rsbench.store.images import read_image_blocks
from rsbench.store.seal import SEAL_BLOCK_SIZE, compute_seal
from rsbench.theory.metrics import average_certified_radius
from rsbench.votes_format import decode_votes

_AnyRow = Row[*tuple[Any, ...]]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a database."""

    run: str | None
    """Fingerprint of the run that is affected; None if the finding concerns no single run."""

    message: str


def check_store(
    connection: Connection, fingerprints: Sequence[str], on_checked: Callable[[str], None]
) -> Iterator[Finding]:
    """Yield what is wrong with a database, or with the runs of these fingerprints. See `Queries.check`."""
    if not fingerprints:
        yield from _check_pages(connection)
        yield from _check_references(connection)
    run = t.certification_run
    query = select(run).where(run.c.state == "sealed").order_by(run.c.id)
    if fingerprints:
        query = query.where(run.c.fingerprint.in_(fingerprints))
    for row in connection.execute(query).all():
        for message in _check_run(connection, row):
            yield Finding(row.fingerprint, message)
        on_checked(row.fingerprint)


def _check_pages(connection: Connection) -> Iterator[Finding]:
    # PostgreSQL verifies its own pages.
    if connection.dialect.name == "sqlite":
        for line in connection.scalars(text("PRAGMA integrity_check")):
            if line != "ok":
                yield Finding(None, f"the file is damaged: {line}")


def _check_references(connection: Connection) -> Iterator[Finding]:
    for table in t.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            if missing := _count_missing_parents(connection, key):
                parent, child = key.column.table.name, f"{table.name}.{key.parent.name}"
                yield Finding(None, f"rows of {parent} that {child} refers to are missing: {missing}")


def _count_missing_parents(connection: Connection, key: ForeignKey) -> int:
    parent = key.column.table.alias("parent")
    referring = select(key.parent.label("value")).where(key.parent.is_not(None)).distinct().subquery()
    is_missing = ~select(parent.c[key.column.name]).where(parent.c[key.column.name] == referring.c.value).exists()
    return connection.scalar(select(func.count()).select_from(referring).where(is_missing)) or 0


def _check_run(connection: Connection, run: _AnyRow) -> Iterator[str]:
    blocks_without_votes: list[ImageColumns] = []
    unreadable: list[str] = []

    def collect(blocks: Iterable[ImageColumns]) -> Iterator[ImageColumns]:
        for block in blocks:
            unreadable.extend(_check_votes(block))
            blocks_without_votes.append(ImageColumns(block.index_N, block.label_N, block.predicted_N, block.radius_N))
            yield block

    seal = compute_seal(run.spec, collect(read_image_blocks(connection, run.id, SEAL_BLOCK_SIZE)))
    if seal != run.seal:
        yield f"its rows or its specification changed after it was sealed: the seal is {run.seal}, they give {seal}"
    yield from unreadable
    images = sum(map(len, blocks_without_votes))
    if images != run.image_count:
        yield f"it has {images} images, but was sealed with {run.image_count}"
    yield from _check_curves(connection, run, blocks_without_votes)


def _check_votes(block: ImageColumns) -> Iterator[str]:
    try:
        if block.votes is not None:
            decode_votes(block.votes)
    except ValueError as error:
        yield f"the votes of images {block.index_N[0]} to {block.index_N[-1]} cannot be decoded: {error}"


def _check_curves(connection: Connection, run: _AnyRow, blocks: Sequence[ImageColumns]) -> Iterator[str]:
    curve, curve_block = t.certified_curve, t.curve_block
    curves = connection.execute(select(curve).where(curve.c.run_id == run.id).order_by(curve.c.id)).all()
    primary_curves = sum(row.is_primary for row in curves)
    if primary_curves != 1:
        yield f"it has {primary_curves} curves that its specification declares, and must have exactly one"
    for row in curves:
        name = f"its curve {row.certificate}, n = {row.n}"
        stored_blocks = connection.execute(
            select(curve_block.c.first_radius, curve_block.c.above, curve_block.c.radii, curve_block.c.counts)
            .where(curve_block.c.curve_id == row.id)
            .order_by(curve_block.c.first_radius)
        ).all()
        radii = sum(int(np.frombuffer(block.counts, "<u4").sum()) for block in stored_blocks)
        if radii != row.correct:
            yield f"{name} has {radii} radii, but {row.correct} correct images"
        if row.is_primary and blocks:
            yield from _check_primary_curve(row, [tuple(block) for block in stored_blocks], blocks, name)


def _check_primary_curve(
    curve: _AnyRow,
    stored_blocks: Sequence[tuple[float, int, bytes, bytes]],
    blocks: Sequence[ImageColumns],
    name: str,
) -> Iterator[str]:
    """Compare a curve with the images that it was computed from."""
    correct_N = np.concatenate([block.correct_N for block in blocks])
    radii = np.concatenate([block.radius_N for block in blocks])[correct_N]
    abstained = sum(int((block.predicted_N < 0).sum()) for block in blocks)
    average = average_certified_radius(radii, len(correct_N))
    for quantity, stored, recomputed in (
        ("correct images", curve.correct, int(correct_N.sum())),
        ("abstentions", curve.abstained, abstained),
        ("average certified radius", curve.average_certified_radius, average),
    ):
        if stored != recomputed:
            yield f"{name} has {quantity} {stored}, but the rows give {recomputed}"
    if [tuple(block.values()) for block in curve_blocks(radii)] != stored_blocks:
        yield f"{name} differs from the radii of its rows"
