"""The seal of a run: one hash over its specification and all its rows."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from sqlalchemy import Connection, select, update

from rsbench.errors import StoreError
from rsbench.records import FloatArray, ImageColumns, NewCurve, Standing
from rsbench.specs import run_spec_from_json
from rsbench.store import tables as t
from rsbench.store.curves import add_curve
from rsbench.store.images import read_image_blocks
from rsbench.store.rows import now
from rsbench.theory.metrics import average_certified_radius

# Rows that are hashed together; part of the definition.
BLOCK = 4096


def seal_of(spec_json: str, blocks: Iterable[ImageColumns]) -> str:
    """sha256, in hexadecimal, of a run's specification and its rows in blocks of BLOCK, by image index.

    Of each block: index, label and class (−1: abstained) as little-endian int64, radius and σ (NaN: the run's) as
    float64, the lengths of the votes (−1: none) as int64, column after column, and then the votes.
    """
    digest = hashlib.sha256(spec_json.encode())
    for block in blocks:
        sigma_N = np.full(len(block), np.nan) if block.sigma_N is None else block.sigma_N
        votes = block.votes or ()
        lengths_N = [len(content) for content in votes] if votes else [-1] * len(block)
        for whole in (block.index_N, block.label_N, block.predicted_N):
            digest.update(whole.astype("<i8").tobytes())
        for real in (block.radius_N, sigma_N):
            digest.update(real.astype("<f8").tobytes())
        digest.update(np.array(lengths_N, dtype="<i8").tobytes())
        digest.update(b"".join(votes))
    return digest.hexdigest()


def seal_run(connection: Connection, run_id: int, standing: Standing) -> NewCurve:
    """Write a complete run's curve and close the run for ever. Raises StoreError when images are missing."""
    run = t.certification_run
    row = connection.execute(select(run).where(run.c.id == run_id)).one()
    spec = run_spec_from_json(row.spec)
    results = _Results(read_image_blocks(connection, run_id, BLOCK))
    seal = seal_of(row.spec, results)
    if row.state != "open" or results.images != row.image_count:
        raise StoreError(f"run {run_id} cannot be sealed: {row.state}, {results.images}/{row.image_count} images")
    radii = results.correct_radii()
    curve = NewCurve(
        certificate=spec.certificate,
        procedure=spec.procedure,
        n=spec.n_estimate or spec.measure.levels or 0,
        failure_probability=spec.failure_probability,
        standing=standing,
        correct=len(radii),
        abstained=results.abstained,
        average_certified_radius=average_certified_radius(radii, results.images),
        radii=radii,
    )
    add_curve(connection, run_id, curve, statement=None, is_primary=True)
    connection.execute(update(run).where(run.c.id == run_id).values(state="sealed", sealed_at=now(), seal=seal))
    return curve


class _Results:
    """Passes the rows of a run on, and keeps what its curve needs of them: rows are read once, votes never held."""

    def __init__(self, blocks: Iterable[ImageColumns]) -> None:
        self._blocks = blocks
        self._radii: list[FloatArray] = []
        self.images = 0
        self.abstained = 0

    def __iter__(self) -> Iterator[ImageColumns]:
        for block in self._blocks:
            self._radii.append(block.radius_N[block.correct_N])
            self.images += len(block)
            self.abstained += int((block.predicted_N < 0).sum())
            yield block

    def correct_radii(self) -> FloatArray:
        """Return the radii of the images classified correctly, by image index."""
        return np.concatenate(self._radii) if self._radii else np.zeros(0)


def add_missing_seals(connection: Connection) -> None:
    """Give a seal to the runs that an earlier version sealed without one."""
    run = t.certification_run
    unsealed = select(run.c.id, run.c.spec).where(run.c.state == "sealed", run.c.seal.is_(None)).order_by(run.c.id)
    for row in connection.execute(unsealed).all():
        seal = seal_of(row.spec, read_image_blocks(connection, row.id, BLOCK))
        connection.execute(update(run).where(run.c.id == row.id).values(seal=seal))
