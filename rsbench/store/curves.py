"""A curve as blocks of its distinct radii: its value at any radius needs one short row. Shapes: M radii, C curves."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert

from rsbench.records import FloatArray, IntArray, NewCurve, StepCurve
from rsbench.store import tables as t
from rsbench.store.rows import inserted_id, now

_SIZE = 64


def add_curve(connection: Connection, run_id: int, curve: NewCurve, *, statement: str | None, is_primary: bool) -> None:
    """Add a curve with its blocks."""
    curve_id = inserted_id(
        connection,
        insert(t.certified_curve).values(
            run_id=run_id,
            certificate=curve.certificate,
            procedure=curve.procedure,
            n=curve.n,
            failure_probability=curve.failure_probability or 0.0,
            standing=curve.standing,
            statement=statement,
            is_primary=is_primary,
            correct=curve.correct,
            abstained=curve.abstained,
            average_certified_radius=curve.average_certified_radius,
            created_at=now(),
        ),
    )
    connection.execute(insert(t.curve_block), [{"curve_id": curve_id, **block} for block in blocks_of(curve.radii)])


def blocks_of(radii: FloatArray) -> Iterator[dict[str, Any]]:
    """The rows of `curve_block`, but for their curve, of the radii of all images classified correctly."""
    radius_M, count_M = np.unique(radii, return_counts=True)
    for start in range(0, max(len(radius_M), 1), _SIZE):
        yield {
            # The first block answers for every radius below its own.
            "first_radius": float(radius_M[start]) if start else 0.0,
            "above": int(count_M[start + _SIZE :].sum()),
            "radii": radius_M[start : start + _SIZE].astype("<f8").tobytes(),
            "counts": count_M[start : start + _SIZE].astype("<u4").tobytes(),
        }


def step_curve_of(blocks: Sequence[tuple[bytes, bytes]]) -> StepCurve:
    """The whole curve of all its blocks' radii and counts, in their order."""
    radius_M = np.frombuffer(b"".join(radii for radii, _ in blocks), "<f8")
    return StepCurve(radius_M, np.frombuffer(b"".join(counts for _, counts in blocks), "<u4").astype(np.int64))


def certified_at(threshold: float, above_C: IntArray, blocks: Sequence[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
    """How many images have a radius larger than a threshold, and at least as large: of one block of each curve.

    It must be the block with the largest first radius that does not exceed the threshold.
    """
    steps = step_curve_of(blocks)
    end_C = np.cumsum([len(radii) // 8 for radii, _ in blocks])
    columns = []
    for holds_M in (steps.radius_M > threshold, steps.radius_M >= threshold):
        total_M = np.concatenate([[0], np.cumsum(np.where(holds_M, steps.count_M, 0))])
        columns.append((above_C + np.diff(total_M[end_C], prepend=0)).tolist())
    return list(zip(*columns, strict=True))
