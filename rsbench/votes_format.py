"""One image's votes as bytes, format 1: sparse, little-endian, the same bytes on every machine.

| bytes            | what                                                             |
|------------------|------------------------------------------------------------------|
| 1                | the format, 1                                                    |
| 1                | R, the number of rows: selection, then each prefix's increment    |
| 4                | K, the number of classes                                          |
| 4·R              | how many classes have votes in each row                           |
| 2·Σ (4·Σ if K > 65,536) | these classes, ascending in each row, row after row        |
| 4·Σ              | their votes                                                       |

Rows after the first are stored as increments, which are smaller and sparser than cumulative counts.
Shapes: R rows, K classes.
"""

import struct

import numpy as np

from rsbench.records import IntArray

FORMAT = 1
_HEAD = struct.Struct("<BBI")


def encode_votes(counts_RK: IntArray) -> bytes:
    """The bytes of a row of `Votes.counts_NRK`: selection votes, then cumulative estimation votes.

    Raises ValueError when a count is negative, falls from a prefix to the next, or does not fit into four bytes.
    """
    rows, classes = counts_RK.shape
    increments_RK = counts_RK.copy()
    increments_RK[2:] -= counts_RK[1:-1]
    if increments_RK.size and (increments_RK.min() < 0 or increments_RK.max() >= 2**32):
        raise ValueError("votes must be cumulative counts whose increments lie in 0..2³²−1")
    row, voted = np.nonzero(increments_RK)
    return b"".join(
        (
            _HEAD.pack(FORMAT, rows, classes),
            np.bincount(row, minlength=rows).astype("<u4").tobytes(),
            voted.astype(_class_type(classes)).tobytes(),
            increments_RK[row, voted].astype("<u4").tobytes(),
        )
    )


def decode_votes(content: bytes) -> IntArray:
    """The array that `encode_votes` was given. Raises ValueError when `content` is not of this format."""
    if len(content) < _HEAD.size or content[0] != FORMAT:
        raise ValueError(f"these bytes are not votes of format {FORMAT}")
    _, rows, classes = _HEAD.unpack_from(content)
    voted_R = np.frombuffer(content, "<u4", rows, _HEAD.size).astype(np.int64)
    total = int(voted_R.sum())
    class_type = np.dtype(_class_type(classes))
    start = _HEAD.size + 4 * rows
    if len(content) != start + total * (class_type.itemsize + 4):
        raise ValueError(f"these votes have {len(content)} bytes where their header announces another length")
    voted = np.frombuffer(content, class_type, total, start)
    counts = np.frombuffer(content, "<u4", total, start + total * class_type.itemsize)
    if total and voted.max() >= classes:
        raise ValueError(f"these votes are damaged: one is for class {voted.max()} of {classes}")
    counts_RK = np.zeros((rows, classes), dtype=np.int64)
    counts_RK[np.repeat(np.arange(rows), voted_R), voted] = counts
    counts_RK[1:] = np.cumsum(counts_RK[1:], axis=0)
    return counts_RK


def _class_type(classes: int) -> str:
    return "<u2" if classes <= 2**16 else "<u4"
