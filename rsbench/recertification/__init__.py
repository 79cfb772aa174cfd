"""Recertification: from the stored votes of a run to the curve of any valid certificate, n and α.

`run_votes` and `open_run_votes` read the votes of a sealed run. `RunVotes.request` validates what is to be computed,
and `RunVotes.compute` computes it. No vote is drawn and nothing is stored.
"""

from rsbench.recertification.curves import (
    CurveRequest,
    DecodedVotes,
    FetchCaps,
    compute_curve,
    compute_images,
    decoded,
    images_per_block,
    standing_of,
)
from rsbench.recertification.run_votes import CertifiedVotes, CurveResult, RunVotes, open_run_votes, run_votes

__all__ = [
    "CertifiedVotes",
    "CurveRequest",
    "CurveResult",
    "DecodedVotes",
    "FetchCaps",
    "RunVotes",
    "compute_curve",
    "compute_images",
    "decoded",
    "images_per_block",
    "open_run_votes",
    "run_votes",
    "standing_of",
]
