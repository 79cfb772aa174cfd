"""Certified curves: writing them, and reading them at chosen radii or in full.

A curve's distinct radii are stored in blocks of up to 64, the rows of the table `curve_block`. Each block also records
how many images have a radius beyond it, so the certified accuracy at any radius follows from one block.

Shapes: M distinct radii of one curve, P pairs of a curve and a threshold, B radii of a block.
"""

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, get_args

import numpy as np
from sqlalchemy import ColumnElement, Connection, Float, column, insert, select, values

from rsbench.records import Ball, CertifiedCounts, FloatArray, IntArray, NewCurve, StepCurve
from rsbench.store import tables as t
from rsbench.store.engine import insert_row
from rsbench.theory.metrics import holds

_BLOCK_SIZE = 64
# The column `failure_probability` of curves without sampling. It is part of a key, so it cannot be null, and 0 is not a
# valid α.
_EXACT = 0.0


def stored_failure_probability(failure_probability: float | None) -> float:
    """Return α as the column `failure_probability` of `certified_curve` holds it."""
    return _EXACT if failure_probability is None else failure_probability


def loaded_failure_probability(stored: float) -> float | None:
    """Return the α that the column `failure_probability` stands for; None if every split was evaluated."""
    return None if stored == _EXACT else stored


def add_curve(connection: Connection, run_id: int, curve: NewCurve, *, statement: str | None, is_primary: bool) -> None:
    """Add a curve and its blocks to a run."""
    curve_id = insert_row(
        connection,
        insert(t.certified_curve).values(
            run_id=run_id,
            certificate=curve.certificate,
            procedure=curve.procedure,
            n=curve.n,
            failure_probability=stored_failure_probability(curve.failure_probability),
            standing=curve.standing,
            statement=statement,
            is_primary=is_primary,
            correct=curve.correct,
            abstained=curve.abstained,
            average_certified_radius=curve.average_certified_radius,
            created_at=t.utc_now(),
        ),
    )
    connection.execute(insert(t.curve_block), [{"curve_id": curve_id, **block} for block in curve_blocks(curve.radii)])


def curve_blocks(radii: FloatArray) -> Iterator[dict[str, Any]]:
    """Cut the radii of all correctly classified images, in any order, into rows of `curve_block` without `curve_id`."""
    radius_M, count_M = np.unique(radii, return_counts=True)
    for start in range(0, max(len(radius_M), 1), _BLOCK_SIZE):
        yield {
            # The first block also answers for radii below its smallest one.
            "first_radius": float(radius_M[start]) if start else 0.0,
            "above": int(count_M[start + _BLOCK_SIZE :].sum()),
            "radii": radius_M[start : start + _BLOCK_SIZE].astype("<f8").tobytes(),
            "counts": count_M[start : start + _BLOCK_SIZE].astype("<u4").tobytes(),
        }


def read_step_curves(connection: Connection, curve_ids: Sequence[int]) -> dict[int, StepCurve]:
    """Return complete curves by their id."""
    block = t.curve_block.c
    query = select(block.curve_id, block.radii, block.counts).order_by(block.curve_id, block.first_radius)
    radii: dict[int, list[bytes]] = {curve_id: [] for curve_id in curve_ids}
    counts: dict[int, list[bytes]] = {curve_id: [] for curve_id in curve_ids}
    for row in connection.execute(query.where(block.curve_id.in_(radii))).all():
        radii[row.curve_id].append(row.radii)
        counts[row.curve_id].append(row.counts)
    return {curve_id: StepCurve(*_decode_blocks(radii[curve_id], counts[curve_id])) for curve_id in radii}


def read_certified_counts(
    connection: Connection, curve_ids: Sequence[int], thresholds: Sequence[float]
) -> CertifiedCounts:
    """Return how many images each curve certifies at each threshold."""
    if not curve_ids or not thresholds:
        return CertifiedCounts({})
    curve, block = t.certified_curve, t.curve_block
    at = values(column("threshold", Float), name="at").data([(threshold,) for threshold in thresholds]).cte()

    def of_deciding_block(block_column: ColumnElement[Any]) -> ColumnElement[Any]:
        # The block that decides is the last one that begins at or below the threshold. Three scalar subqueries find it
        # by its key. With a join instead, PostgreSQL may read all blocks of all curves.
        query = select(block_column).where(block.c.curve_id == curve.c.id, block.c.first_radius <= at.c.threshold)
        return query.order_by(block.c.first_radius.desc()).limit(1).correlate(curve, at).scalar_subquery()

    query = select(
        at.c.threshold,
        curve.c.id,
        of_deciding_block(block.c.above),
        of_deciding_block(block.c.radii),
        of_deciding_block(block.c.counts),
    ).select_from(at.join(curve, curve.c.id.in_(curve_ids)))
    rows = connection.execute(query).all()
    if not rows:
        return CertifiedCounts({})
    threshold_P, id_P, above_P, radii_P, counts_P = zip(*rows, strict=True)
    radius_PB, count_PB = _decode_padded_blocks(radii_P, counts_P)
    threshold_P1 = np.array(threshold_P)[:, None]
    certified: dict[tuple[int, float, Ball], int] = {}
    balls: tuple[Ball, ...] = get_args(Ball)
    for ball in balls:
        in_block_P = (count_PB * holds(radius_PB, threshold_P1, ball)).sum(axis=1, dtype=np.int64)
        keys = zip(id_P, threshold_P, repeat(ball))
        certified |= zip(keys, (in_block_P + np.array(above_P)).tolist(), strict=True)
    return CertifiedCounts(certified)


def _decode_padded_blocks(radii_P: Sequence[bytes], counts_P: Sequence[bytes]) -> tuple[FloatArray, IntArray]:
    """Decode the columns `radii` and `counts` of blocks, one row per block.

    Blocks that are shorter than the longest one are padded: radii with NaN, for which `holds` is false, counts with 0.
    """
    size = max(map(len, radii_P)) // 8
    radii = b"".join(radii.ljust(8 * size, b"\xff") for radii in radii_P)
    counts = b"".join(counts.ljust(4 * size, b"\0") for counts in counts_P)
    shape = (len(radii_P), size)
    return np.frombuffer(radii, "<f8").reshape(shape), np.frombuffer(counts, "<u4").reshape(shape)


def _decode_blocks(radii: Sequence[bytes], counts: Sequence[bytes]) -> tuple[FloatArray, IntArray]:
    """Decode the columns `radii` and `counts` of blocks and concatenate them in the order of the blocks."""
    return np.frombuffer(b"".join(radii), "<f8"), np.frombuffer(b"".join(counts), "<u4").astype(np.int64)
