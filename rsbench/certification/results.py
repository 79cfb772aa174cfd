"""Votes → the rows of a run, through the certificate that the run declared."""

import math
from collections.abc import Sequence

import numpy as np

from rsbench.certification.plan import spec_prefixes
from rsbench.records import ChunkVotes, DatasetInfo, ImageColumns, IntArray
from rsbench.specs import CertificationSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, check_votes
from rsbench.votes_format import encode_votes


def by_devices(counted: Sequence[ChunkVotes]) -> dict[frozenset[str], list[ChunkVotes]]:
    """The chunks that devices of each kind, or of several together, have voted on."""
    chunks: dict[frozenset[str], list[ChunkVotes]] = {}
    for one in counted:
        chunks.setdefault(one.devices, []).append(one)
    return chunks


def certify_chunks(
    spec: CertificationSpec, info: DatasetInfo, labels_N: IntArray, counted: Sequence[ChunkVotes]
) -> ImageColumns:
    """The rows of some chunks, in their order. `labels_N`: the labels of the whole data set.

    An image's row is the same whichever chunks come with its own.
    Raises ValueError when the votes are not those that the specification asked for.
    """
    counts_NRK = np.concatenate([one.votes.counts_NRK for one in counted])
    drawn_R = (0 if spec.budget is None else spec.budget.n_select, *spec_prefixes(spec))
    if (counts_NRK.sum(axis=2) != drawn_R).any():
        raise ValueError(f"the votes of every image must be {drawn_R} in turn, and those of one are not")
    selection_NK, estimation_NK = counts_NRK[:, 0], counts_NRK[:, -1]
    check_votes(estimation_NK, n=drawn_R[-1], classes=info.classes)
    dims = math.prod(info.shape)
    verdicts = CERTIFICATES[spec.certificate].certify(
        selection_NK,
        estimation_NK,
        spec.measure,
        failure_probability=None if spec.budget is None else spec.budget.failure_probability,
        procedure=spec.procedure,
        images=ImageFacts(q=info.q, dims=dims),
    )
    index_N = np.array([index for one in counted for index in one.chunk.indices], dtype=np.int64)
    return ImageColumns(
        index_N=index_N,
        label_N=labels_N[index_N],
        predicted_N=np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        radius_N=verdicts.radii_in_box(dims),
        votes=tuple(encode_votes(counts_NRK)),
    )
