"""The result of a certification, as frames and figures. Shapes: N images, K classes."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from rsbench.api.keywords import checked_bounds, keyword_errors
from rsbench.errors import UsageError
from rsbench.recertification import (
    CertifiedVotes,
    CurveRequest,
    FetchCaps,
    compute_images,
    decoded,
    images_per_block,
)
from rsbench.records import Ball, BoolArray, DatasetInfo, FloatArray, ImageColumns, IntArray, Norm
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.metrics import average_certified_radius, certified_accuracy, certified_curve
from rsbench.theory.rounding import radius_threshold

# The caps of a photograph take a megabyte.
_IMAGES_WITH_CAPS = 64


@dataclass(frozen=True, eq=False, repr=False)
class Certification:
    """The classes and radii of some images under one certificate, n and α."""

    measure: MeasureSpec
    """The smoothing measure."""

    certificate: str
    """Name of the certificate."""

    bounds: Procedure
    """How votes become bounds on the class probabilities: one-versus-rest or top-two."""

    n: int
    """How many votes the certificate reads; the number of splits where all are evaluated."""

    alpha: float | None
    """The certified radius of an image is wrong with probability at most alpha; None where it is exact."""

    dataset: DatasetInfo
    """The dataset that the images are from."""

    run: str | None
    """Fingerprint of the run in the store; None without a store."""

    is_labelled: bool
    """Whether the labels of the images are known. Without them there is no accuracy."""

    columns: ImageColumns
    """The images as the store keeps them."""

    caps: FetchCaps | None = None
    """max(x, 1−x) of the pixels, for certificates that look at the images; None where the images are not at hand."""

    def __repr__(self) -> str:
        budget = "exact" if self.alpha is None else f"n {self.n:,}, alpha {self.alpha:g}, {self.bounds}"
        accuracy = f"{self.abstention_rate:.1%} abstained"
        if self.is_labelled:
            accuracy = f"clean accuracy {self.clean_accuracy:.1%}, ACR {self.average_certified_radius:.3f}, {accuracy}"
        noise = f"{self.measure.family} noise of sigma {self.measure.sigma:g}"
        return f"<Certification of {len(self.columns):,} images: {self.certificate}, {noise}, {budget}; {accuracy}>"

    @property
    def ball(self) -> Ball:
        """Whether a radius is that of an open ball (certified at r if radius > r) or a closed one (if radius ≥ r)."""
        return CERTIFICATES[self.certificate].ball

    @property
    def norms(self) -> tuple[Norm, ...]:
        """The norms in which the radius holds."""
        return CERTIFICATES[self.certificate].norms

    @cached_property
    def images(self) -> pd.DataFrame:
        """A row per image, by its index: label, predicted, correct, radius, votes_0, votes_1, …

        `predicted` is <NA> on abstention, and the radius is then 0. `correct` is False on abstention. `label` and
        `correct` are <NA> without labels. `votes_k` counts the votes for class k among the n that certify.
        """
        frame = image_frame(self.columns, n=self.n)
        if not self.is_labelled:
            frame["label"] = pd.array([pd.NA] * len(frame), dtype="Int64")
            frame["correct"] = pd.array([pd.NA] * len(frame), dtype="boolean")
        return frame

    @property
    def votes_NK(self) -> IntArray:
        """The n votes that certify."""
        return decoded(self.columns).votes.first_NK(self.n)

    @property
    def selection_votes_NK(self) -> IntArray:
        """The votes that selected the class; all 0 where every copy is evaluated."""
        return decoded(self.columns).votes.selection_NK

    def recertify(
        self,
        *,
        certificate: str | None = None,
        n: int | None = None,
        alpha: float | None = None,
        bounds: Procedure | None = None,
    ) -> "Certification":
        """Return what another certificate, n, alpha or bounds say of the same votes. No vote is counted again.

        n: 100, 1000, … or all votes that were drawn. What is left out stays as it is. A choice of n, alpha or bounds
        that is made after results were seen is exploratory: it does not hold with probability 1 − alpha.
        Raises UsageError when the certificate is unknown or does not hold for the noise, votes were not kept at that
        n, no image could be certified, or the pixels are needed and not at hand.
        """
        with keyword_errors():
            votes = _Votes(self)
            request = votes.request(
                certificate=certificate, procedure=checked_bounds(bounds), n=n, failure_probability=alpha
            )
            if CERTIFICATES[request.certificate].looks_at_images and self.caps is None:
                raise UsageError(f"certificate {request.certificate} looks at the pixels, which are not at hand")
            return replace(
                self,
                certificate=request.certificate,
                bounds=request.procedure,
                n=request.n,
                alpha=request.failure_probability,
                columns=recertified(self.columns, request, self.measure, self.dataset, self.caps),
            )

    def certified_accuracy(self, radius: float | str = 0.0) -> float:
        """Return the share of images that are classified correctly with a certificate at a radius.

        radius: in units of the pixel range [0,1]. A number with up to 9 decimals, such as 0.1, is taken as that decimal
            and not as the float nearest to it, so that the answer is the leaderboard's.
        Raises UsageError for a radius that is no number ≥ 0, and when no labels were given.
        """
        return float(certified_accuracy(self._correct_radii, len(self.columns), _threshold(radius), self.ball))

    @property
    def clean_accuracy(self) -> float:
        """Share of images that the smoothed classifier classifies correctly; an abstention is wrong."""
        return len(self._correct_radii) / len(self.columns)

    @property
    def abstention_rate(self) -> float:
        """Share of images on which the smoothed classifier abstains."""
        return float((self.columns.predicted_N < 0).mean())

    @property
    def average_certified_radius(self) -> float:
        """Mean over all images of the radius, 0 where the class is wrong (Zhai et al. 2020)."""
        return average_certified_radius(self._correct_radii, len(self.columns))

    def curve(self) -> pd.DataFrame:
        """Return the whole curve, exactly: the radii at which the certified accuracy falls, and its value there.

        Columns: radius, certified_accuracy. Between two radii the curve of an open ball keeps the value of the smaller
        one, and that of a closed ball has the value of the larger one. Beyond the last radius it is 0.
        """
        radii, accuracy = certified_curve(self._correct_radii, len(self.columns), self.ball)
        return pd.DataFrame({"radius": radii, "certified_accuracy": accuracy})

    @cached_property
    def _correct_radii(self) -> FloatArray:
        """Radii of the images classified correctly, ascending."""
        if not self.is_labelled:
            raise UsageError("no labels were given: accuracies need them, radii and votes are in `images`")
        return np.sort(self.columns.radius_N[_correct(self.columns)])


def _threshold(radius: float | str) -> float:
    try:
        return radius_threshold(str(radius))
    except ValueError as error:
        if isinstance(radius, str) or not 0.0 <= radius < np.inf:
            raise UsageError(f"radius {radius} is not a number ≥ 0: give one such as 0.5") from error
        return float(radius)


class _Votes(CertifiedVotes):
    """The votes of a certification."""

    def __init__(self, certification: Certification) -> None:
        if certification.columns.votes is None:
            raise UsageError("these images have no votes, only radii: other curves can only be computed from votes")
        self._certification = certification
        self.declared = CurveRequest(
            certification.certificate, certification.bounds, certification.n, certification.alpha
        )
        self.prefixes = decoded(rows_of(certification.columns, slice(1))).votes.prefixes

    @property
    def measure(self) -> MeasureSpec:
        return self._certification.measure

    @property
    def name(self) -> str:
        run = self._certification.run
        return "the certification" if run is None else f"run {run[:12]}"


def recertified(
    columns: ImageColumns,
    request: CurveRequest,
    measure: MeasureSpec,
    dataset: DatasetInfo,
    caps: FetchCaps | None,
) -> ImageColumns:
    """Return the images under a request, with their votes."""
    size = images_per_block(dataset.classes) if caps is None else _IMAGES_WITH_CAPS
    blocks = [
        compute_images(
            decoded(rows_of(columns, slice(start, start + size))), request, measure=measure, dataset=dataset, caps=caps
        )
        for start in range(0, len(columns), size)
    ]
    return replace(
        columns,
        predicted_N=np.concatenate([block.predicted_N for block in blocks]),
        radius_N=np.concatenate([block.radius_N for block in blocks]),
    )


def rows_of(columns: ImageColumns, rows: slice) -> ImageColumns:
    """Return some of the images."""
    return ImageColumns(
        index_N=columns.index_N[rows],
        label_N=columns.label_N[rows],
        predicted_N=columns.predicted_N[rows],
        radius_N=columns.radius_N[rows],
        sigma_N=None if columns.sigma_N is None else columns.sigma_N[rows],
        votes=None if columns.votes is None else columns.votes[rows],
    )


def image_frame(columns: ImageColumns, *, n: int | None) -> pd.DataFrame:
    """Return images as a frame, see `Certification.images`; with σ where it was chosen for each image.

    n: of how many votes there are to be columns, None for no such columns.
    """
    predicted = pd.array(columns.predicted_N, dtype="Int64")
    predicted[columns.predicted_N < 0] = pd.NA
    frame = pd.DataFrame(
        {
            "label": pd.array(columns.label_N, dtype="Int64"),
            "predicted": predicted,
            "correct": pd.array(_correct(columns), dtype="boolean"),
            "radius": columns.radius_N,
        },
        index=pd.Index(columns.index_N, name="index"),
    )
    if columns.sigma_N is not None:
        frame["sigma"] = columns.sigma_N
    if n is None or columns.votes is None:
        return frame
    votes_NK = decoded(columns).votes.first_NK(n)
    names = [f"votes_{label}" for label in range(votes_NK.shape[1])]
    return frame.join(pd.DataFrame(votes_NK, columns=names, index=frame.index))


def _correct(columns: ImageColumns) -> BoolArray:
    # An abstention is −1, and so is a label that was not given.
    return np.asarray(columns.correct_N & (columns.predicted_N >= 0))
