"""The deterministic l1 certificate of splitting noise whose coordinates share one base offset (DSSN).

The base offset takes L values, called splits. All of them are evaluated, so the votes are exact: there is no sampling,
no failure probability and no abstention, and the radius is computed in integers.

Shapes: N images, K classes. A and B are classes.
"""

from typing import ClassVar

import numpy as np

from rsbench.records import IntArray, Norm
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.certificate import GRID, Certificate, ImageFacts, Verdicts
from rsbench.theory.rounding import floor_quotient


class DeterministicL1(Certificate):
    """The certificate of DSSN, for images on the grid k/q. See `deterministic_l1_steps`."""

    name = "dssn"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "closed"
    threat_models: ClassVar = {"deterministic-splitting": GRID}
    condition = "splitting noise with one base offset shared by all coordinates, and the votes of all its L splits"
    source = "Levine & Feizi 2021, corollary 1 and appendix B"

    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: MeasureSpec,
        failure_probability: float | None,
        procedure: Procedure,
        images: ImageFacts,
    ) -> Verdicts:
        if images.q is None:
            raise ValueError("certificate dssn needs images on a grid k/q, and these images lie on no grid")
        if (totals := estimation_NK.sum(axis=1)).size and totals[0] != measure.levels:
            raise ValueError(f"certificate dssn needs the votes of all {measure.levels} splits, got {totals[0]} votes")
        top_N, steps_N = deterministic_l1_steps(estimation_NK)
        return Verdicts(top_N, np.zeros(len(top_N), dtype=np.bool_), floor_quotient(steps_N, images.q))


def deterministic_l1_steps(votes_NK: IntArray) -> tuple[IntArray, IntArray]:
    """Return the predicted class A and its radius k in steps of 1/q.

    A is the most voted class, the one with the lowest index on ties. k is the minimum over all other classes B of
    ⌊(n_A − n_B − [B < A]) / 2⌋. The term [B < A] is the tie rule: a class with a lower index than A needs only to reach
    A's votes to win, so it needs one vote less. Without that term the radius would be too large. Classes without votes
    take part in the minimum. The class is constant on the closed l1 ball of radius k/q on the grid.

    Source: Levine & Feizi 2021, corollary 1, with the tie rule of appendix B.

    votes_NK: how many of all L splits voted for each class.
    Returns A_N and k_N as int64. Raises ValueError when there are fewer than two classes.
    """
    classes = votes_NK.shape[1]
    if classes < 2:
        raise ValueError(f"a classifier needs at least two classes, got {classes}")
    top_N = votes_NK.argmax(axis=1)
    top_votes_N1 = np.take_along_axis(votes_NK, top_N[:, None], axis=1)
    class_K = np.arange(classes)
    steps_NK = (top_votes_N1 - votes_NK - (class_K < top_N[:, None])) // 2
    np.put_along_axis(steps_NK, top_N[:, None], np.iinfo(np.int64).max, axis=1)
    return top_N, steps_NK.min(axis=1)
