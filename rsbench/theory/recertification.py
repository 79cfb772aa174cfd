"""Another certificate, n or α from votes that are already drawn. Shapes: N images, R rows of votes, K classes."""

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


@dataclass(frozen=True)
class Question:
    """Which curve is wanted. `failure_probability` is None where the law is enumerated."""

    certificate: str
    procedure: Procedure
    n: int
    failure_probability: float | None


def standing_of(question: Question, declared: Question) -> Standing:
    """Whether a curve that is asked for after a run has the standing of the one that the run declared.

    It has when its bounds are the declared ones: they hold together with probability 1 − α whichever theorem is read
    off them, so choosing the theorem by its results costs nothing. Choosing n, α or the procedure does.
    """
    same = (
        question.procedure == declared.procedure
        and question.n == declared.n
        and question.failure_probability == declared.failure_probability
    )
    return "declared" if same else "exploratory"


def images_at_once(classes: int) -> int:
    """How many images to decode together: some tens of megabytes of votes."""
    return max(64, 500_000 // classes)


@dataclass(frozen=True, eq=False)
class Ballots:
    """Images with their votes, decoded: what a certificate reads."""

    index_N: IntArray
    label_N: IntArray
    votes: Votes


def ballots_of(images: ImageColumns) -> Ballots:
    """The votes of images, decoded. Raises ValueError when there are none."""
    return Ballots(images.index_N, images.label_N, votes_of(images))


def recertify(
    blocks: Iterable[ImageColumns],
    question: Question,
    standing: Standing,
    *,
    measure: MeasureSpec,
    dataset: DatasetInfo,
    caps: Callable[[IntArray], FloatArray] | None = None,
) -> NewCurve:
    """The curve of a run under another certificate, n or α.

    blocks: all images of the run with their votes. caps: max(x, 1−x) of the pixels of images by their indices, N×D, for
    certificates that look at them.
    Raises ValueError when n is no declared prefix, the theorem does not hold for the measure, or caps are missing.
    """
    return recertify_ballots(map(ballots_of, blocks), question, standing, measure=measure, dataset=dataset, caps=caps)


def recertify_ballots(
    blocks: Iterable[Ballots],
    question: Question,
    standing: Standing,
    *,
    measure: MeasureSpec,
    dataset: DatasetInfo,
    caps: Callable[[IntArray], FloatArray] | None = None,
) -> NewCurve:
    """`recertify` of votes that are decoded already, and may be asked again."""
    radii, images, abstained = [], 0, 0
    for block in blocks:
        certified = recertified_images(block, question, measure=measure, dataset=dataset, caps=caps)
        radii.append(certified.radius_N[certified.correct_N])
        images, abstained = images + len(certified), abstained + int((certified.predicted_N < 0).sum())
    radius_N = np.concatenate(radii) if radii else np.zeros(0)
    return NewCurve(
        certificate=question.certificate,
        procedure=question.procedure,
        n=question.n,
        failure_probability=question.failure_probability,
        standing=standing,
        correct=len(radius_N),
        abstained=abstained,
        average_certified_radius=average_certified_radius(radius_N, images),
        radii=radius_N,
    )


def recertified_images(
    block: Ballots,
    question: Question,
    *,
    measure: MeasureSpec,
    dataset: DatasetInfo,
    caps: Callable[[IntArray], FloatArray] | None = None,
) -> ImageColumns:
    """Return the class and the radius of each image under another certificate, n or α, without votes.

    The arguments are those of `recertify`, and so are the errors.
    """
    certificate = CERTIFICATES[question.certificate]
    dims = math.prod(dataset.shape)
    verdicts = certificate.certify(
        block.votes.selection_NK,
        block.votes.first_NK(question.n),
        measure,
        failure_probability=question.failure_probability,
        procedure=question.procedure,
        images=ImageFacts(
            q=dataset.q, dims=dims, caps_ND=caps(block.index_N) if certificate.looks_at_images and caps else None
        ),
    )
    return ImageColumns(
        index_N=block.index_N,
        label_N=block.label_N,
        predicted_N=np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        radius_N=verdicts.radii_in_box(dims),
    )


def votes_of(images: ImageColumns) -> Votes:
    """The votes of images, with the prefixes at which they were kept. Raises ValueError when there are none."""
    if images.votes is None:
        raise ValueError("these images have no votes: only their radii are known")
    counts_NRK = decode_votes(images.votes)
    return Votes(counts_NRK, tuple(counts_NRK[0, 1:].sum(axis=1).tolist()))
