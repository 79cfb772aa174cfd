"""Votes → the rows of a run, by the certificate that the run declared. Shapes: N images, R vote rows, K classes."""

import math
from collections.abc import Sequence

import numpy as np

from rsbench.certification.plan import spec_prefixes
from rsbench.records import ChunkVotes, DatasetInfo, ImageColumns, IntArray
from rsbench.specs import CertificationSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts, check_votes
from rsbench.votes_format import encode_votes


def group_by_devices(chunks: Sequence[ChunkVotes]) -> dict[frozenset[str], list[ChunkVotes]]:
    """Group chunks by the kinds of device that voted on them. A chunk has several kinds if its parts were divided."""
    groups: dict[frozenset[str], list[ChunkVotes]] = {}
    for chunk_votes in chunks:
        groups.setdefault(chunk_votes.devices, []).append(chunk_votes)
    return groups


def certify_chunks(
    spec: CertificationSpec, info: DatasetInfo, labels_N: IntArray, chunks: Sequence[ChunkVotes]
) -> ImageColumns:
    """Return the rows of the images of some chunks, in their order.

    The row of an image does not depend on the chunks that come with its own. `labels_N` has the label of every image
    of the dataset. Raises ValueError if an image has more or fewer votes than the specification says.
    """
    counts_NRK = np.concatenate([chunk_votes.votes.counts_NRK for chunk_votes in chunks])
    expected_votes_R = (0 if spec.budget is None else spec.budget.n_select, *spec_prefixes(spec))
    if counts_NRK.shape[1] != len(expected_votes_R) or (counts_NRK.sum(axis=2) != expected_votes_R).any():
        raise ValueError(f"the vote rows of every image must sum to {expected_votes_R}, and those of one do not")
    selection_NK, estimation_NK = counts_NRK[:, 0], counts_NRK[:, -1]
    check_votes(estimation_NK, n=expected_votes_R[-1], classes=info.classes)
    dims = math.prod(info.shape)
    verdicts = CERTIFICATES[spec.certificate].certify(
        selection_NK,
        estimation_NK,
        spec.measure,
        failure_probability=None if spec.budget is None else spec.budget.failure_probability,
        procedure=spec.procedure,
        images=ImageFacts(q=info.q, dims=dims),
    )
    index_N = np.array([index for chunk_votes in chunks for index in chunk_votes.chunk.indices], dtype=np.int64)
    return ImageColumns(
        index_N=index_N,
        label_N=labels_N[index_N],
        predicted_N=np.where(verdicts.abstained_N, -1, verdicts.predicted_N),
        radius_N=verdicts.radii_in_box(dims),
        votes=tuple(encode_votes(counts_NRK)),
    )
