"""Saying something of a sealed run, whose rows never change."""

import numpy as np

from rsbench.errors import UsageError
from rsbench.records import AnnotationKind, RunRecord
from rsbench.report.ranking import is_ranked
from rsbench.store.store import Store

_BLOCK = 4096


def annotate(
    store: Store, run: RunRecord, kind: AnnotationKind, other: RunRecord | None, *, reason: str, author: str
) -> None:
    """Store what is said. `other`: the run that supersedes or reproduces it.

    Raises UsageError when that cannot be so: a run is not sealed, is its own successor, is superseded by a run that is
    itself not ranked or on other images, or is reproduced by one with other votes.
    """
    for each in (run, other):
        if each is not None and each.sealed_at is None:
            raise UsageError(f"run {each.fingerprint[:12]} is not sealed: the command that began it finishes it")
    if other is not None:
        _check_other(run, other)
        if kind == "superseded" and not is_ranked(other):
            raise UsageError(f"run {other.fingerprint[:12]} is itself not ranked: name the run that is")
        if kind == "reproduced":
            _check_same_votes(store, run, other)
    store.annotate(run.id, kind, other_run_id=None if other is None else other.id, reason=reason, author=author)


def _check_other(run: RunRecord, other: RunRecord) -> None:
    if other.id == run.id:
        raise UsageError(f"run {run.fingerprint[:12]} is named twice: name two runs")
    if (run.dataset.fingerprint, run.images) != (other.dataset.fingerprint, other.images):
        raise UsageError(
            f"runs {run.fingerprint[:12]} and {other.fingerprint[:12]} are on other data or images "
            f"({run.dataset.name} {run.images}; {other.dataset.name} {other.images})"
        )


def _check_same_votes(store: Store, run: RunRecord, other: RunRecord) -> None:
    for each in (run, other):
        if each.tier == "imported-radii":
            raise UsageError(f"run {each.fingerprint[:12]} has no votes: only equal votes reproduce a run")
    blocks = zip(store.image_blocks(run.id, _BLOCK), store.image_blocks(other.id, _BLOCK), strict=True)
    for here, there in blocks:
        if here.votes is None or there.votes is None or here.votes != there.votes:
            same = [one == two for one, two in zip(here.votes or (), there.votes or (), strict=False)]
            index = here.index_N[np.argmin(same)] if same else here.index_N[0]
            raise UsageError(
                f"image {index} has other votes in run {other.fingerprint[:12]} than in {run.fingerprint[:12]}: "
                "only equal votes reproduce a run"
            )
