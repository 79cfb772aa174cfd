"""What every certificate declares, and how votes become a verdict.

A new certificate is a subclass with one hook, `_certify`, and a line in `rsbench.methods`.
Shapes: N images, K classes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.specs import Family, MeasureSpec
from rsbench.theory.confidence import clopper_pearson_lower

Norm = Literal["l1", "l2"]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """`predicted_N` is the class returned where `abstained_N` is False; `radius_N` is 0 where it is True."""

    predicted_N: IntArray
    abstained_N: BoolArray
    radius_N: FloatArray


class Certificate(ABC):
    """A theorem that turns votes into a radius.

    `norms`: the norms in which the radius holds. `ball`: an open ball is certified at r iff radius > r, a closed one
    iff radius ≥ r. `threat_model`: which perturbed images the theorem speaks of.
    """

    name: ClassVar[str]
    norms: ClassVar[tuple[Norm, ...]]
    ball: ClassVar[Literal["open", "closed"]]
    threat_model: ClassVar[str]
    families: ClassVar[frozenset[Family]]
    source: ClassVar[str]

    @final
    def certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: MeasureSpec,
        *,
        q: int | None = None,
        failure_probability: float | None = None,
    ) -> Verdicts:
        """Class, abstention and radius (rounded down) of each image.

        selection_NK, estimation_NK: non-negative votes; each row of `estimation_NK` has the same positive sum.
        q: the quantisation of the pixels, needed by certificates on the grid.
        failure_probability: α, needed by certificates from samples.
        Raises ValueError when the theorem does not hold for the measure, or the votes are not votes.
        """
        if measure.family not in self.families:
            held = ", ".join(sorted(self.families))
            raise ValueError(f"certificate {self.name} holds for {held} smoothing, not for {measure.family}")
        if selection_NK.shape != estimation_NK.shape or estimation_NK.ndim != 2:
            raise ValueError(f"votes must be two N×K arrays, got {selection_NK.shape} and {estimation_NK.shape}")
        if (selection_NK < 0).any() or (estimation_NK < 0).any():
            raise ValueError("votes must not be negative")
        totals_N = estimation_NK.sum(axis=1)
        if totals_N.size and (totals_N.min() < 1 or totals_N.min() != totals_N.max()):
            raise ValueError(f"every image needs the same number of votes, got {totals_N.min()} to {totals_N.max()}")
        return self._certify(selection_NK, estimation_NK, measure, q, failure_probability)

    @abstractmethod
    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: MeasureSpec,
        q: int | None,
        failure_probability: float | None,
    ) -> Verdicts:
        """The theorem, on validated votes."""


class OneVersusRestCertificate(Certificate):
    """CERTIFY (Cohen et al. 2019, §3.2.2): class from n0 votes, its lower bound from n fresh ones, abstain at ≤ ½."""

    @final
    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: MeasureSpec,
        q: int | None,
        failure_probability: float | None,
    ) -> Verdicts:
        if failure_probability is None:
            raise ValueError(f"certificate {self.name} needs a failure probability")
        selected_N = selection_NK.argmax(axis=1)
        votes_N = np.take_along_axis(estimation_NK, selected_N[:, None], axis=1)[:, 0]
        n = int(estimation_NK[0].sum()) if len(estimation_NK) else 1
        lower_N = clopper_pearson_lower(votes_N, n, failure_probability)
        abstained_N = lower_N <= 0.5
        radius_N = self._radius(np.where(abstained_N, 0.5, lower_N), measure)
        return Verdicts(selected_N, abstained_N, np.where(abstained_N, 0.0, radius_N))

    @abstractmethod
    def _radius(self, lower_N: FloatArray, measure: MeasureSpec) -> FloatArray:
        """Radius, rounded down, from lower bounds in [½, 1)."""
