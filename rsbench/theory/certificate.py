"""What every certificate declares, and how votes become a verdict.

A new certificate is a subclass with one hook and a line in `rsbench.theory.catalogue`. Shapes: N images, K classes,
D pixels of an image.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal, final

import numpy as np

from rsbench.records import BoolArray, FloatArray, IntArray
from rsbench.theory.confidence_procedures import Procedure, bounds_of_votes
from rsbench.theory.probability_bounds import ProbabilityBounds

if TYPE_CHECKING:
    from rsbench.specs import MeasureSpec

Norm = Literal["l1", "l2"]
GRID: Final = "the grid {k/q}^d in [0,1]^d"
ThreatModel = Literal["all of R^d", "the box [0,1]^d", "the grid {k/q}^d in [0,1]^d"]

# Why a theorem that asks for independent coordinates, or for additive noise, does not speak of a measure.
_LAWS: Mapping[str, str] = {
    "gaussian": "Gaussian noise, isotropic",
    "uniform": "uniform noise, independent across coordinates",
    "splitting": "splitting noise, independent across coordinates",
    "deterministic-splitting": "splitting noise whose coordinates share one base, all of them enumerated",
}


@dataclass(frozen=True, eq=False)
class Verdicts:
    """`predicted_N` is the class returned where `abstained_N` is False; `radius_N` is 0 where it is True.

    A radius is infinite where no image of the threat model can change the class.
    """

    predicted_N: IntArray
    abstained_N: BoolArray
    radius_N: FloatArray

    def radii_in_box(self, dims: int) -> FloatArray:
        """Return the radii with d, the number of pixel values, as the largest wherever one is infinite.

        No two images of the box [0,1]^d are further apart in l1, so a radius of d says the same as an infinite one.
        """
        return np.minimum(self.radius_N, dims) if np.isinf(self.radius_N).any() else self.radius_N


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """What some certificates must know of the images.

    q: pixels are k/q, for certificates on the grid. dims: pixels (times channels) of an image, for those that know when
    the whole box is covered. caps_ND: max(x, 1−x) of each pixel, in any order, for those that look at the image.
    """

    q: int | None = None
    dims: int | None = None
    caps_ND: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.q is not None:
            check_q(self.q)
        if self.dims is not None and self.dims < 1:
            raise ValueError(f"an image must have at least 1 pixel, got {self.dims}")
        caps_ND = self.caps_ND
        if caps_ND is not None:
            if caps_ND.ndim != 2 or caps_ND.shape[1] < 1:
                raise ValueError(f"caps must be an N×D array with D ≥ 1, got the shape {caps_ND.shape}")
            if (wrong_ND := ~((caps_ND >= 0.5) & (caps_ND <= 1.0))).any():
                raise ValueError(
                    f"a cap max(x, 1−x) of a pixel x in [0,1] lies in [½, 1], got {caps_ND[wrong_ND][0]:g}"
                )

    def take(self, rows_N: BoolArray) -> "ImageFacts":
        """The facts of the images where a mask is True. Raises ValueError when it is not a mask of these images."""
        if self.caps_ND is None:
            return self
        if len(self.caps_ND) != len(rows_N):
            raise ValueError(f"{len(rows_N)} images need as many rows of caps, got {len(self.caps_ND)}")
        return replace(self, caps_ND=self.caps_ND[rows_N])


def check_q(q: int) -> int:
    """q, the number of quantisation steps. Raises ValueError when it is out of range."""
    if not 1 <= q < 2**16:
        raise ValueError(f"q, the number of quantisation steps, must lie in 1..65535, got {q}")
    return q


def check_votes(votes_NK: IntArray, *, n: int | None = None, classes: int | None = None) -> None:
    """Raises ValueError unless each row holds the non-negative votes of at least two classes, of one positive sum.

    n: that sum, where it is known. classes: how many the data set has, where that is known.
    """
    if votes_NK.ndim != 2:
        raise ValueError(f"votes must be an N×K array, got the shape {votes_NK.shape}")
    columns = votes_NK.shape[1]
    if columns < 2:
        raise ValueError(f"a classifier needs at least two classes, got the votes of {columns}")
    if classes is not None and columns != classes:
        raise ValueError(f"votes of {columns} classes, and the data set has {classes}")
    if (votes_NK < 0).any():
        raise ValueError(f"votes must not be negative, got {votes_NK.min()}")
    totals_N = votes_NK.sum(axis=1)
    if totals_N.size and (totals_N.min() < 1 or totals_N.min() != totals_N.max()):
        raise ValueError(f"every image needs the same number of votes, got {totals_N.min()} to {totals_N.max()}")
    if totals_N.size and totals_N[0] >= 2**31:
        raise ValueError(f"an image can have fewer than 2³¹ votes, got {totals_N[0]}")
    if n is not None and totals_N.size and totals_N[0] != n:
        raise ValueError(f"the votes sum to {totals_N[0]}, and n = {n} were drawn")


class Certificate(ABC):
    """A theorem that turns votes into a radius.

    `norms`: the norms in which the radius holds as it is. `ball`: an open ball is certified at r iff radius > r, a
    closed one iff radius ≥ r. `threat_models`: for each measure for which the theorem holds, the images it speaks of.
    `condition`: what it asks of the noise's joint law. `source`: paper and theorem. `looks_at_images`: whether the
    radius depends on the pixels.
    """

    name: ClassVar[str]
    norms: ClassVar[tuple[Norm, ...]]
    ball: ClassVar[Literal["open", "closed"]]
    threat_models: ClassVar[Mapping[str, ThreatModel]]
    condition: ClassVar[str]
    source: ClassVar[str]
    looks_at_images: ClassVar[bool] = False

    @property
    def threat_model(self) -> str:
        """Which perturbed images the theorem speaks of, by measure where that differs."""
        models = self.threat_models
        if len(set(models.values())) == 1:
            return next(iter(models.values()))
        return "; ".join(f"{model} for {family}" for family, model in models.items())

    @final
    def check_measure(self, family: str) -> None:
        """Raises ValueError, with the theorem's condition, when the certificate does not hold for the measure."""
        if family not in self.threat_models:
            raise ValueError(
                f"certificate {self.name} does not hold for {family} smoothing: {self.source} needs {self.condition}, "
                f"and this is {_LAWS[family]}"
            )

    @final
    def certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: "MeasureSpec",
        *,
        failure_probability: float | None = None,
        procedure: Procedure = "one-versus-rest",
        images: ImageFacts | None = None,
    ) -> Verdicts:
        """Class, abstention and radius (rounded down) of each image.

        selection_NK, estimation_NK: non-negative votes; each row of `estimation_NK` has the same positive sum.
        failure_probability: α, and procedure: how it is spent, for certificates from samples.
        Raises ValueError when the theorem does not hold for the measure, the votes are not votes, or something that
        the theorem needs is missing.
        """
        self.check_measure(measure.family)
        if selection_NK.shape != estimation_NK.shape:
            raise ValueError(f"votes must be two N×K arrays, got {selection_NK.shape} and {estimation_NK.shape}")
        check_votes(estimation_NK)
        if (selection_NK < 0).any():
            raise ValueError("votes must not be negative")
        return self._certify(
            selection_NK, estimation_NK, measure, failure_probability, procedure, images or ImageFacts()
        )

    @abstractmethod
    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: "MeasureSpec",
        failure_probability: float | None,
        procedure: Procedure,
        images: ImageFacts,
    ) -> Verdicts:
        """The theorem, on validated votes."""


class SampledCertificate(Certificate):
    """A certificate from bounds on the class probabilities, which hold with probability 1 − α.

    `scale` names the parameter of the measure that the formula takes: its standard deviation or its half-width.
    """

    scale: ClassVar[Literal["sigma", "half_width"]]

    @final
    def radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts | None = None) -> FloatArray:
        """Radius of each row, rounded down: 0 where pA ≤ pB, for that is an abstention.

        scale: the measure's σ or λ > 0, as `self.scale` says, in units of the pixel range; taken as exact.
        Raises ValueError when the scale is out of range, or something that the theorem needs is missing.
        """
        if not 0.0 < scale < float("inf"):
            sign = "σ" if self.scale == "sigma" else "λ"
            raise ValueError(f"{sign} must be a positive number, got {scale:g}")
        facts = images or ImageFacts()
        certified_N = bounds.gap_N > 0.0
        if self.looks_at_images:
            facts = facts.take(certified_N)
        radius_N = np.zeros(len(bounds))
        radius_N[certified_N] = np.maximum(self._radius(bounds.take(certified_N), scale, facts), 0.0)
        return radius_N

    @abstractmethod
    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        """The formula, rounded down, for rows with pA > pB."""

    @final
    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: "MeasureSpec",
        failure_probability: float | None,
        procedure: Procedure,
        images: ImageFacts,
    ) -> Verdicts:
        if failure_probability is None:
            raise ValueError(f"certificate {self.name} needs a failure probability α")
        scale: float = getattr(measure, self.scale)
        selected_N = selection_NK.argmax(axis=1)
        # There are far fewer different counts than images, and a bound costs microseconds.
        bounds, row_N = bounds_of_votes(selected_N, estimation_NK, failure_probability, procedure)
        abstained_N = bounds.gap_N[row_N] <= 0.0
        if self.looks_at_images:
            return Verdicts(selected_N, abstained_N, self.radius(bounds.take(row_N), scale, images))
        return Verdicts(selected_N, abstained_N, self.radius(bounds, scale, images)[row_N])
