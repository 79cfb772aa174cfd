"""New curves of sealed runs, computed from their votes and stored beside their own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rsbench.jobs.images import images_of
from rsbench.records import FloatArray, IntArray, NewCurve, RunRecord
from rsbench.report.recertification import Recertifiable
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.recertification import Question, images_at_once, recertify, standing_of

# Caps of photographs take a megabyte each.
_IMAGES_WITH_CAPS = 64


@dataclass(frozen=True, eq=False)
class Recertified:
    """A curve of a run, and whether the store did not have it."""

    run: RunRecord
    curve: NewCurve
    new: bool


def recertify_runs(
    store: Store, asked: Sequence[tuple[Recertifiable, Question]], *, statement: str | None, data_root: Path | None
) -> Iterator[Recertified]:
    """Compute each curve that was asked for and store it.

    statement: where these choices were fixed before a result was seen; None: nowhere. data_root: where the images lie,
    for certificates that look at them.
    Raises UsageError or DataError when these images are not those of the run, StoreError when the store fails; the
    curves before are kept.
    """
    for known, question in asked:
        run = known.run
        follows = standing_of(question, known.declared)
        size, caps = images_at_once(run.dataset.classes), None
        if CERTIFICATES[question.certificate].looks_at_images:
            caps, size = _Caps(run, data_root), min(size, _IMAGES_WITH_CAPS)
        curve = recertify(
            store.image_blocks(run.id, size),
            question,
            "stated-afterwards" if statement and follows == "exploratory" else follows,
            measure=known.measure,
            dataset=run.dataset,
            caps=caps,
        )
        said = statement if follows == "exploratory" else None
        yield Recertified(run, curve, store.add_curve(run.id, curve, statement=said))


class _Caps:
    """max(x, 1−x) of the pixels of a run's images, N×D. Raises UsageError when the images are others."""

    def __init__(self, run: RunRecord, data_root: Path | None) -> None:
        self._dataset = images_of(run, data_root)

    def __call__(self, index_N: IntArray) -> FloatArray:
        pixels_NCHW = self._dataset.pixels(index_N.tolist())
        x_ND = pixels_NCHW.reshape(len(pixels_NCHW), -1).astype(np.float64) / (self._dataset.info.q or 1)
        return np.maximum(x_ND, 1.0 - x_ND)
