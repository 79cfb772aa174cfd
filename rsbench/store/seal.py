"""Sealing a complete run: writing its curve, and a hash over its specification and all its image results.

Shapes: N images of a block of rows of `image_result`.
"""

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
from rsbench.theory.metrics import average_certified_radius

SEAL_BLOCK_SIZE = 4096
"""How many images are hashed together. It is part of the definition of the seal and can never change."""

# The column `n` of the curve of an imported run whose number of votes nobody stated. It is part of a key, so it cannot
# be null, and no curve is computed from 0 votes.
_UNKNOWN_N = 0


def compute_seal(spec_json: str, blocks: Iterable[ImageColumns]) -> str:
    """Return the seal of a run: the SHA-256, in hexadecimal, of its specification and its images.

    blocks: the images with their votes, ordered by index, in blocks of SEAL_BLOCK_SIZE.
    The hash covers the specification's JSON and then, block after block, these columns: index, label and predicted
    class (−1 for an abstention) as little-endian int64; radius and σ (NaN if σ was not chosen for the image) as
    little-endian float64; the lengths of the encoded votes (−1 for none) as little-endian int64; the encoded votes.
    """
    digest = hashlib.sha256(spec_json.encode())
    for block in blocks:
        sigma_N = np.full(len(block), np.nan) if block.sigma_N is None else block.sigma_N
        votes = block.votes or ()
        votes_length_N = [len(encoded) for encoded in votes] if votes else [-1] * len(block)
        for integer_N in (block.index_N, block.label_N, block.predicted_N):
            digest.update(integer_N.astype("<i8").tobytes())
        for real_N in (block.radius_N, sigma_N):
            digest.update(real_N.astype("<f8").tobytes())
        digest.update(np.array(votes_length_N, dtype="<i8").tobytes())
        digest.update(b"".join(votes))
    return digest.hexdigest()


def seal_run(connection: Connection, run_id: int, standing: Standing) -> NewCurve:
    """Write the curve and the seal of an open run, and return the curve. The images are read once.

    Raises StoreError when images are missing or the run is sealed.
    """
    run = t.certification_run
    row = connection.execute(select(run).where(run.c.id == run_id)).one()
    spec = run_spec_from_json(row.spec)
    summary = _ImageSummary()
    seal = compute_seal(row.spec, summary.pass_through(read_image_blocks(connection, run_id, SEAL_BLOCK_SIZE)))
    if row.state != "open":
        raise StoreError(f"run {row.fingerprint[:12]} cannot be sealed: it is sealed already")
    if summary.images != row.image_count:
        raise StoreError(
            f"run {row.fingerprint[:12]} cannot be sealed: it has {summary.images}/{row.image_count} images; repeat "
            "the command that started it to complete it"
        )
    radii = summary.correct_radii()
    curve = NewCurve(
        certificate=spec.certificate,
        procedure=spec.procedure,
        n=spec.n_estimate or spec.measure.levels or _UNKNOWN_N,
        failure_probability=spec.failure_probability,
        standing=standing,
        correct=len(radii),
        abstained=summary.abstained,
        average_certified_radius=average_certified_radius(radii, summary.images),
        radii=radii,
    )
    add_curve(connection, run_id, curve, statement=None, is_primary=True)
    connection.execute(update(run).where(run.c.id == run_id).values(state="sealed", sealed_at=t.utc_now(), seal=seal))
    return curve


class _ImageSummary:
    """Collects what a run's curve needs while its images pass through, so that votes are never all in memory."""

    def __init__(self) -> None:
        self.images = 0
        self.abstained = 0
        self._correct_radii: list[FloatArray] = []

    def pass_through(self, blocks: Iterable[ImageColumns]) -> Iterator[ImageColumns]:
        for block in blocks:
            self.images += len(block)
            self.abstained += int((block.predicted_N < 0).sum())
            self._correct_radii.append(block.radius_N[block.correct_N])
            yield block

    def correct_radii(self) -> FloatArray:
        """Return the radii of the correctly classified images, ordered by image index."""
        return np.concatenate(self._correct_radii) if self._correct_radii else np.zeros(0)


def add_missing_seals(connection: Connection) -> None:
    """Compute the seals of runs that a release without seals has completed."""
    run = t.certification_run
    without_seal = select(run.c.id, run.c.spec).where(run.c.state == "sealed", run.c.seal.is_(None)).order_by(run.c.id)
    for row in connection.execute(without_seal).all():
        seal = compute_seal(row.spec, read_image_blocks(connection, row.id, SEAL_BLOCK_SIZE))
        connection.execute(update(run).where(run.c.id == row.id).values(seal=seal))
