"""Annotations of sealed runs, whose rows never change."""

import numpy as np

from rsbench.errors import UsageError
from rsbench.records import AnnotationKind, RunRecord
from rsbench.report.ranking import is_ranked
from rsbench.store.store import Store

_BLOCK = 4096


def annotate(
    store: Store, run: RunRecord, kind: AnnotationKind, other: RunRecord | None, *, reason: str, author: str
) -> None:
    """Annotate a sealed run. `other` is the run that supersedes or reproduces it.

    Raises UsageError when one of the runs is not sealed, both are the same run or differ in their images, the other run
    is itself not ranked, or a reproduction has other votes.
    """
    for each in (run, other):
        if each is not None and each.sealed_at is None:
            raise UsageError(f"run {each.fingerprint[:12]} is not sealed: run the command that began it again")
    if other is not None:
        _check_other(run, other)
        if kind == "superseded" and not is_ranked(other):
            raise UsageError(f"run {other.fingerprint[:12]} is itself not ranked: name a run that is")
        if kind == "reproduced":
            _check_same_votes(store, run, other)
    store.annotate(run.id, kind, other_run_id=None if other is None else other.id, reason=reason, author=author)


def _check_other(run: RunRecord, other: RunRecord) -> None:
    if other.id == run.id:
        raise UsageError(f"run {run.fingerprint[:12]} is named twice: name two runs")
    if (run.dataset.fingerprint, run.images) != (other.dataset.fingerprint, other.images):
        raise UsageError(
            f"runs {run.fingerprint[:12]} and {other.fingerprint[:12]} are on different data or images "
            f"({run.dataset.name} {run.images}; {other.dataset.name} {other.images}): name runs on the same images"
        )


def _check_same_votes(store: Store, run: RunRecord, other: RunRecord) -> None:
    for each in (run, other):
        if each.tier == "imported-radii":
            raise UsageError(
                f"run {each.fingerprint[:12]} has no votes, and only equal votes reproduce a run: name runs with votes"
            )
    blocks = zip(store.image_blocks(run.id, _BLOCK), store.image_blocks(other.id, _BLOCK), strict=True)
    for block, other_block in blocks:
        if block.votes is None or other_block.votes is None or block.votes != other_block.votes:
            equal = [a == b for a, b in zip(block.votes or (), other_block.votes or (), strict=False)]
            index = block.index_N[np.argmin(equal)] if equal else block.index_N[0]
            raise UsageError(
                f"image {index} has different votes in runs {run.fingerprint[:12]} and {other.fingerprint[:12]}: a run "
                "is reproduced only by equal votes"
            )
