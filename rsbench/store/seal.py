"""The seal of a run: one hash over its specification and all its rows."""

import hashlib
import json
from collections.abc import Iterable

import numpy as np
from sqlalchemy import Connection, select, update

from rsbench.errors import StoreError
from rsbench.records import ImageColumns, NewCurve, Standing
from rsbench.store import tables as t
from rsbench.store.curves import add_curve
from rsbench.store.images import read_image_blocks, read_images
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
    """Write a complete run's curve and close it for ever. Raises StoreError when images are missing."""
    run = t.certification_run
    facts = connection.execute(select(run).where(run.c.id == run_id)).one()
    images = read_images(connection, run_id, with_votes=False)
    if facts.state != "open" or len(images) != facts.image_count:
        raise StoreError(f"run {run_id} cannot be sealed: {facts.state}, {len(images)}/{facts.image_count} images")
    curve = NewCurve(
        certificate=facts.certificate,
        procedure=facts.procedure,
        n=facts.n_estimate or _enumerated_votes(facts.spec),
        failure_probability=facts.failure_probability,
        standing=standing,
        correct=int(images.correct_N.sum()),
        abstained=int((images.predicted_N < 0).sum()),
        average_certified_radius=average_certified_radius(images.radius_N[images.correct_N], len(images)),
        radii=images.radius_N[images.correct_N],
    )
    add_curve(connection, run_id, curve, statement=None, is_primary=True)
    seal = seal_of(facts.spec, read_image_blocks(connection, run_id, BLOCK))
    connection.execute(update(run).where(run.c.id == run_id).values(state="sealed", sealed_at=now(), seal=seal))
    return curve


def add_missing_seals(connection: Connection) -> None:
    """Give a seal to the runs that an earlier version sealed without one."""
    run = t.certification_run
    unsealed = select(run.c.id, run.c.spec).where(run.c.state == "sealed", run.c.seal.is_(None)).order_by(run.c.id)
    for row in connection.execute(unsealed).all():
        seal = seal_of(row.spec, read_image_blocks(connection, row.id, BLOCK))
        connection.execute(update(run).where(run.c.id == row.id).values(seal=seal))


def _enumerated_votes(spec_json: str) -> int:
    """How many votes an image has in a run that draws none: L of deterministic splitting."""
    spec = json.loads(spec_json)
    return int(spec["levels"] if "levels" in spec else spec["measure"]["levels"])
