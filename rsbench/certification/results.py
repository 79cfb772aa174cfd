"""Votes → the rows of a run, through the certificate that the run declared."""

import math

import numpy as np

from rsbench.records import ChunkVotes, DatasetInfo, ImageColumns, IntArray
from rsbench.specs import CertificationSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, check_votes
from rsbench.votes_format import encode_votes


def certify_chunk(spec: CertificationSpec, info: DatasetInfo, labels_N: IntArray, counted: ChunkVotes) -> ImageColumns:
    """The rows of a chunk, in its order. `labels_N`: the labels of the whole data set.

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
    index_N = np.array(counted.chunk.indices, dtype=np.int64)
    return ImageColumns(
        index_N=index_N,
        label_N=labels_N[index_N],
        predicted_N=np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        radius_N=verdicts.radius_N,
        votes=tuple(encode_votes(votes.counts_NRK)),
    )
