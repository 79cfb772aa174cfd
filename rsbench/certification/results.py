"""Votes → the rows of a run, through the certificate that the run declared."""

import math

import numpy as np

from rsbench.records import ChunkVotes, DatasetInfo, ImageResult, IntArray
from rsbench.specs import CertificationSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, check_votes
from rsbench.votes_format import encode_votes


def certify_chunk(
    spec: CertificationSpec, info: DatasetInfo, labels_N: IntArray, counted: ChunkVotes
) -> list[ImageResult]:
    """The results of a chunk, in its order. `labels_N`: the labels of the whole data set.

    Raises ValueError when the votes are not those that the specification asked for.
    """
    votes = counted.votes
    drawn = spec.passes_per_image if spec.budget is None else spec.budget.n_estimate
    check_votes(votes.estimation_NK, n=drawn, classes=info.classes)
    verdicts = CERTIFICATES[spec.certificate].certify(
        votes.selection_NK,
        votes.estimation_NK,
        spec.measure,
        failure_probability=None if spec.budget is None else spec.budget.failure_probability,
        images=ImageFacts(q=info.q, dims=math.prod(info.shape)),
    )
    ordered_NK = np.sort(votes.estimation_NK, axis=1)
    return [
        ImageResult(
            index=index,
            label=int(labels_N[index]),
            predicted=None if verdicts.abstained_N[i] else int(verdicts.predicted_N[i]),
            radius=float(verdicts.radius_N[i]),
            top_votes=int(ordered_NK[i, -1]),
            runner_up_votes=int(ordered_NK[i, -2]),
            votes=encode_votes(votes.counts_NRK[i]),
        )
        for i, index in enumerate(counted.chunk.indices)
    ]
