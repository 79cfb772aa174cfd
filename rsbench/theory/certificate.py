"""The contract of a certificate, and the steps from votes to a radius that all certificates share.

A certificate is a theorem that turns the votes of an image into a radius within which the smoothed classifier's
prediction cannot change. To add one, subclass `SampledCertificate` and implement `_radius`; its docstring shows an
example. A theorem that does not work from bounds on the class probabilities subclasses `Certificate` instead.
Register an instance with `rsbench.theory.catalogue.CERTIFICATES.register(name, instance)`.

Shapes: N images, K classes, D pixel values of an image (channels × pixels; d in formulas).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Literal, final

import numpy as np

from rsbench.families import FAMILIES
from rsbench.records import Ball, BoolArray, FloatArray, IntArray, Norm
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.probability_bounds import ProbabilityBounds, bounds_of_votes

GRID: Final = "the grid {k/q}^d in [0,1]^d"
ThreatModel = Literal["all of R^d", "the box [0,1]^d", "the grid {k/q}^d in [0,1]^d"]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a certificate concludes about N images."""

    predicted_N: IntArray
    """The selected class. It is the prediction only where `abstained_N` is False."""

    abstained_N: BoolArray
    """Where the smoothed classifier abstains."""

    radius_N: FloatArray
    """The certified radius, rounded down, in units of the pixel range and in the certificate's norm: 0 on abstention,
    infinite where no image of the threat model can change the prediction."""

    def radii_in_box(self, dims: int) -> FloatArray:
        """Return the radii with d, the number of pixel values, in place of infinity.

        No two images of the box [0,1]^d are further apart in l1, so a radius of d states the same as an infinite one.
        """
        return np.where(np.isinf(self.radius_N), float(dims), self.radius_N)


@dataclass(frozen=True, eq=False)
class ImageFacts:
    """Properties of the images that some certificates need. All of them are optional.

    Raises ValueError when a value is out of range.
    """

    q: int | None = None
    """The pixels lie on the grid k/q, 1 ≤ q < 2¹⁶. Needed by certificates whose threat model is the grid."""

    dims: int | None = None
    """d, the number of pixel values (channels × pixels). Lets box certificates recognise that a radius covers the whole
    box."""

    caps_ND: FloatArray | None = None
    """max(x, 1−x) of every pixel x, the furthest it can move within [0,1]; the order of the pixels is irrelevant.
    Needed by certificates with `looks_at_images`."""

    def __post_init__(self) -> None:
        if self.q is not None:
            check_q(self.q)
        if self.dims is not None and self.dims < 1:
            raise ValueError(f"an image must have at least 1 pixel, got {self.dims}")
        caps_ND = self.caps_ND
        if caps_ND is not None:
            if caps_ND.ndim != 2 or caps_ND.shape[1] < 1:
                raise ValueError(f"caps must be an N×D array with D ≥ 1, got the shape {caps_ND.shape}")
            if (invalid_ND := ~((caps_ND >= 0.5) & (caps_ND <= 1.0))).any():
                raise ValueError(
                    f"the cap max(x, 1−x) of a pixel x in [0,1] lies in [½, 1], got {caps_ND[invalid_ND][0]:g}"
                )

    def take(self, mask_N: BoolArray) -> "ImageFacts":
        """Return the facts of the images where the mask is True.

        Raises ValueError when the mask's length is not the number of images.
        """
        if self.caps_ND is None:
            return self
        if len(self.caps_ND) != len(mask_N):
            raise ValueError(f"{len(mask_N)} images need as many rows of caps, got {len(self.caps_ND)}")
        return replace(self, caps_ND=self.caps_ND[mask_N])


def check_q(q: int) -> int:
    """Return q, the number of quantisation steps. Raises ValueError unless 1 ≤ q < 2¹⁶."""
    if not 1 <= q < 2**16:
        raise ValueError(f"q, the number of quantisation steps, must lie in 1..65535, got {q}")
    return q


def check_votes(votes_NK: IntArray, *, n: int | None = None, classes: int | None = None) -> None:
    """Raise ValueError unless the rows are non-negative votes of at least two classes with one common positive sum.

    n: if given, that sum must be n.
    classes: if given, there must be as many columns.
    """
    if votes_NK.ndim != 2:
        raise ValueError(f"votes must be an N×K array, got the shape {votes_NK.shape}")
    columns = votes_NK.shape[1]
    if columns < 2:
        raise ValueError(f"a classifier needs at least two classes, got {columns}")
    if classes is not None and columns != classes:
        raise ValueError(f"the votes are of {columns} classes, but the dataset has {classes}")
    if (votes_NK < 0).any():
        raise ValueError(f"votes must not be negative, got {votes_NK.min()}")
    totals_N = votes_NK.sum(axis=1)
    if totals_N.size and (totals_N.min() < 1 or totals_N.min() != totals_N.max()):
        raise ValueError(
            f"every image needs the same number of votes, at least 1, got {totals_N.min()} to {totals_N.max()}"
        )
    if totals_N.size and totals_N[0] >= 2**31:
        raise ValueError(f"an image can have fewer than 2³¹ votes, got {totals_N[0]}")
    if n is not None and totals_N.size and totals_N[0] != n:
        raise ValueError(f"the votes of an image sum to {totals_N[0]}, but n = {n} was given")


class Certificate(ABC):
    """A theorem that turns votes into a radius.

    Subclasses set the class attributes below and implement `_certify`. `certify` validates its input and is final.
    Instances hold no state.
    """

    name: ClassVar[str]
    """Name on the command line and in the store, such as "cohen". It must never change: stored curves refer to it."""

    norms: ClassVar[tuple[Norm, ...]]
    """The norms in which the radius holds as it is. The first is the one that the theorem is stated in."""

    ball: ClassVar[Ball]
    """An open ball certifies perturbations of norm r if radius > r, a closed one if radius ≥ r."""

    threat_models: ClassVar[Mapping[str, ThreatModel]]
    """For every smoothing measure that the theorem covers, by family name, the set of perturbed images that it speaks
    of."""

    condition: ClassVar[str]
    """What the theorem requires of the noise, as text for error messages and tables."""

    source: ClassVar[str]
    """Paper and theorem."""

    uses_dims: ClassVar[bool] = False
    """Whether the radius depends on `ImageFacts.dims`."""

    looks_at_images: ClassVar[bool] = False
    """Whether the radius depends on the pixels, so that `ImageFacts.caps_ND` is needed."""

    @property
    def threat_model(self) -> str:
        """The set of perturbed images that the theorem speaks of, as text; by measure where they differ."""
        models = self.threat_models
        if len(set(models.values())) == 1:
            return next(iter(models.values()))
        return "; ".join(f"{model} for {family}" for family, model in models.items())

    @final
    def check_measure(self, family: str) -> None:
        """Raise ValueError, naming the theorem's condition, when the certificate does not cover a smoothing measure.

        family: name of the measure's `rsbench.families.Family`.
        """
        if family not in self.threat_models:
            registered = FAMILIES.get(family)
            contrast = "" if registered is None else f", and this is {registered.description}"
            raise ValueError(
                f"certificate {self.name} does not hold for {family} smoothing: {self.source} needs {self.condition}"
                f"{contrast}"
            )

    @final
    def certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: MeasureSpec,
        *,
        failure_probability: float | None = None,
        procedure: Procedure = "one-versus-rest",
        images: ImageFacts | None = None,
    ) -> Verdicts:
        """Return the predicted class, abstention and radius (rounded down) of each image.

        selection_NK: votes that select the class, non-negative.
        estimation_NK: votes that certify it, non-negative and drawn independently of the selection votes; each row has
        the same positive sum n.
        measure: the smoothing measure that drew the noise.
        failure_probability: α; the certified radius of an image is wrong with probability at most α. Sampled
        certificates need it.
        procedure: how sampled certificates derive bounds from the votes; see `bounds_of_votes`.
        images: properties of the images, where the certificate needs them.
        Raises ValueError when the theorem does not cover the measure, the votes are invalid, or something that the
        theorem needs is missing.
        """
        self.check_measure(measure.family)
        if selection_NK.shape != estimation_NK.shape:
            raise ValueError(f"votes must be two N×K arrays, got {selection_NK.shape} and {estimation_NK.shape}")
        check_votes(estimation_NK)
        if (selection_NK < 0).any():
            raise ValueError(f"votes must not be negative, got {selection_NK.min()}")
        return self._certify(
            selection_NK, estimation_NK, measure, failure_probability, procedure, images or ImageFacts()
        )

    @abstractmethod
    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: MeasureSpec,
        failure_probability: float | None,
        procedure: Procedure,
        images: ImageFacts,
    ) -> Verdicts:
        """Apply the theorem to votes that `certify` has validated. The arguments are those of `certify`."""


class SampledCertificate(Certificate):
    """A certificate whose radius is a formula of bounds on the class probabilities.

    Subclasses set the class attributes of `Certificate` and `scale`, and implement `_radius`. Selection, confidence
    bounds and abstention are the same for all of them and done here: the prediction is the class that leads in the
    selection votes, and the image abstains when its bounds leave no gap, pA ≤ pB.

    A shortened version of `rsbench.theory.uniform_l1.LipschitzL1`:

        class UniformL1(SampledCertificate):
            name = "lee-uniform"
            norms = ("l1",)
            ball = "open"
            threat_models = {"uniform": "all of R^d"}
            condition = "uniform noise, independent across coordinates"
            source = "Lee et al. 2019"
            scale = "half_width"

            def _radius(self, bounds, scale, images):
                return lower_by_ulps(scale * bounds.gap_N)
    """

    scale: ClassVar[Literal["sigma", "half_width"]]
    """The parameter of the smoothing measure that the formula takes: its standard deviation σ or its half-width λ."""

    @final
    def radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts | None = None) -> FloatArray:
        """Return the radius of each row of bounds, rounded down; 0 where pA ≤ pB.

        scale: σ or λ of the smoothing measure, as `self.scale` says, > 0 and in units of the pixel range; taken as
        exact.
        images: properties of the images, one row of caps for each row of bounds.
        Raises ValueError when the scale is out of range, or something that the theorem needs is missing.
        """
        if not 0.0 < scale < float("inf"):
            symbol = "σ" if self.scale == "sigma" else "λ"
            raise ValueError(f"{symbol} must be a positive number, got {scale:g}")
        facts = images or ImageFacts()
        certified_N = bounds.gap_N > 0.0
        if self.looks_at_images:
            facts = facts.take(certified_N)
        radius_N = np.zeros(len(bounds))
        radius_N[certified_N] = np.maximum(self._radius(bounds.take(certified_N), scale, facts), 0.0)
        return radius_N

    @abstractmethod
    def _radius(self, bounds: ProbabilityBounds, scale: float, images: ImageFacts) -> FloatArray:
        """Compute the radius of each row of bounds. This is the only method that an author of a certificate writes.

        bounds: N rows with pA > pB; rows that abstain have been removed.
        scale: σ or λ, as `self.scale` says, finite and > 0.
        images: what the caller knows about the images. If `looks_at_images` is set, `images.caps_ND` (where given) has
        N rows that match `bounds`. Raise ValueError when something that the theorem needs is None.
        Returns N radii in float64, in units of the pixel range. They must not exceed the theorem's exact value for
        these bounds: lower the result by its rounding error, for instance with
        `rsbench.theory.rounding.lower_by_ulps`. A negative result counts as 0; an infinite one says that every
        perturbed image of the threat model keeps its prediction.
        """

    @final
    def _certify(
        self,
        selection_NK: IntArray,
        estimation_NK: IntArray,
        measure: MeasureSpec,
        failure_probability: float | None,
        procedure: Procedure,
        images: ImageFacts,
    ) -> Verdicts:
        if failure_probability is None:
            raise ValueError(f"certificate {self.name} needs a failure probability α")
        scale: float = getattr(measure, self.scale)
        selected_N = selection_NK.argmax(axis=1)
        bounds, row_N = bounds_of_votes(selected_N, estimation_NK, failure_probability, procedure)
        abstained_N = bounds.gap_N[row_N] <= 0.0
        if self.looks_at_images:
            return Verdicts(selected_N, abstained_N, self.radius(bounds.take(row_N), scale, images))
        # Images with equal counts have equal radii: compute each distinct one once.
        return Verdicts(selected_N, abstained_N, self.radius(bounds, scale, images)[row_N])
