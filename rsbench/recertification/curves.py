"""Curves and radii computed from votes. Shapes: N images, R rows of votes, K classes, D pixel values of an image."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from rsbench.records import DatasetInfo, FloatArray, ImageColumns, IntArray, NewCurve, Standing, Votes
from rsbench.specs import MeasureSpec, Procedure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.theory.metrics import average_certified_radius
from rsbench.votes_format import decode_votes

# max(x, 1−x) of the pixels of images, N×D, by the images' indices.
FetchCaps = Callable[[IntArray], FloatArray]


@dataclass(frozen=True)
class CurveRequest:
    """A curve to compute."""

    certificate: str
    """Name of the certificate."""

    procedure: Procedure
    """How confidence bounds are computed from votes."""

    n: int
    """How many estimation votes are read: a declared prefix."""

    failure_probability: float | None
    """α, None where the measure is enumerated."""


def standing_of(request: CurveRequest, declared: CurveRequest) -> Standing:
    """Return the standing of a curve that is requested after a run which declared another one.

    If procedure, n and α are the declared ones, so are the confidence bounds. The bounds of an image hold together with
    probability at least 1 − α whichever theorem is applied to them, so a theorem that is chosen by its results is valid
    too: the curve is declared. A choice of procedure, n or α is exploratory; the caller makes that *stated afterwards*
    where the user states that it was fixed before.
    """
    same_bounds = (
        request.procedure == declared.procedure
        and request.n == declared.n
        and request.failure_probability == declared.failure_probability
    )
    return "declared" if same_bounds else "exploratory"


@dataclass(frozen=True, eq=False)
class DecodedVotes:
    """The votes of some images, decoded: what a certificate reads."""

    index_N: IntArray
    label_N: IntArray
    votes: Votes


def decoded(images: ImageColumns) -> DecodedVotes:
    """Decode the votes of images, with the prefixes at which they are stored.

    Raises ValueError when the images have no votes.
    """
    if images.votes is None:
        raise ValueError("these images have no votes: only their radii are known")
    counts_NRK = decode_votes(images.votes)
    prefixes = tuple(counts_NRK[0, 1:].sum(axis=1).tolist())
    return DecodedVotes(images.index_N, images.label_N, Votes(counts_NRK, prefixes))


def images_per_block(classes: int) -> int:
    """Return how many images to decode together, so that their votes take some tens of megabytes."""
    return max(64, 500_000 // classes)


def compute_curve(
    blocks: Iterable[DecodedVotes],
    request: CurveRequest,
    standing: Standing,
    *,
    measure: MeasureSpec,
    dataset: DatasetInfo,
    caps: FetchCaps | None = None,
) -> NewCurve:
    """Compute a curve from all images of a run, which come in blocks.

    caps: needed by certificates that look at the images.
    Raises ValueError when n is not a declared prefix, the certificate does not hold for the measure, or it needs caps
    and there are none.
    """
    radii, images, abstained = [], 0, 0
    for block in blocks:
        certified = compute_images(block, request, measure=measure, dataset=dataset, caps=caps)
        radii.append(certified.radius_N[certified.correct_N])
        images, abstained = images + len(certified), abstained + int((certified.predicted_N < 0).sum())
    radius_N = np.concatenate(radii) if radii else np.zeros(0)
    return NewCurve(
        certificate=request.certificate,
        procedure=request.procedure,
        n=request.n,
        failure_probability=request.failure_probability,
        standing=standing,
        correct=len(radius_N),
        abstained=abstained,
        average_certified_radius=average_certified_radius(radius_N, images),
        radii=radius_N,
    )


def compute_images(
    block: DecodedVotes,
    request: CurveRequest,
    *,
    measure: MeasureSpec,
    dataset: DatasetInfo,
    caps: FetchCaps | None = None,
) -> ImageColumns:
    """Compute the class and the radius of each image. The rows carry no votes.

    Arguments and errors are those of `compute_curve`.
    """
    certificate, dims = CERTIFICATES[request.certificate], math.prod(dataset.shape)
    verdicts = certificate.certify(
        block.votes.selection_NK,
        block.votes.first_NK(request.n),
        measure,
        failure_probability=request.failure_probability,
        procedure=request.procedure,
        images=ImageFacts(
            q=dataset.q,
            dims=dims,
            caps_ND=caps(block.index_N) if certificate.looks_at_images and caps else None,
        ),
    )
    return ImageColumns(
        index_N=block.index_N,
        label_N=block.label_N,
        predicted_N=np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        radius_N=verdicts.radii_in_box(dims),
    )
