"""The deterministic l1 radius of splitting noise with one shared offset (DSSN), in integers."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rsbench.records import IntArray
from rsbench.theory.certificate import GRID, Certificate, ImageFacts, Norm, Verdicts
from rsbench.theory.confidence_procedures import Procedure
from rsbench.theory.rounding import floor_quotient

if TYPE_CHECKING:
    from rsbench.specs import MeasureSpec


def deterministic_l1_steps(votes_NK: IntArray) -> tuple[IntArray, IntArray]:
    """The class and the radius in steps of 1/q (Levine & Feizi 2021, corollary 1, with the tie rule of appendix B).

    The class A is the most voted, the lowest index on ties. k = min over B ≠ A of ⌊(n_A − n_B − [B < A]) / 2⌋: a class
    below A in index wins a tie against A, so it needs one vote less. Without that term the radius overclaims. Classes
    without votes count. The closed ball of radius k/q on the grid keeps the class.

    votes_NK: counts over all L bases. Returns (A_N, k_N), int64.
    Raises ValueError when there are fewer than two classes.
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


class DeterministicL1(Certificate):
    """DSSN's certificate: exact, no sampling and no abstention, for images on the grid {0, 1/q, …, 1}^d."""

    name = "dssn"
    norms: ClassVar[tuple[Norm, ...]] = ("l1",)
    ball = "closed"
    threat_models: ClassVar = {"deterministic-splitting": GRID}
    condition = "splitting noise with one base shared by all coordinates, and the votes of all its L bases"
    source = "Levine & Feizi 2021, corollary 1 and appendix B"

    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: "MeasureSpec",
        failure_probability: float | None,
        procedure: Procedure,
        images: ImageFacts,
    ) -> Verdicts:
        if images.q is None:
            raise ValueError("certificate dssn needs images on a grid k/q: inputs that lie on no grid have none")
        if (totals := estimation_NK.sum(axis=1)).size and totals[0] != measure.levels:
            raise ValueError(f"DSSN needs the votes of all {measure.levels} bases, got {totals[0]}")
        top_N, steps_N = deterministic_l1_steps(estimation_NK)
        return Verdicts(top_N, np.zeros(len(top_N), dtype=np.bool_), floor_quotient(steps_N, images.q))
