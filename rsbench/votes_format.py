"""Encode and decode the votes of an image as compact bytes, format 2. The bytes are the same on every machine.

The value of an image is a sequence of unsigned LEB128 integers: 7 bits in each byte, lowest first, with the top bit set
on all bytes of a number but the last.

| numbers | content                                                                                           |
|---------|---------------------------------------------------------------------------------------------------|
| 1       | the format, 2                                                                                     |
| 1       | R, the number of rows: one of selection votes, then one for each prefix of n                      |
| 1       | K, the number of classes                                                                          |
| 1       | S, the number of classes with a vote in any row                                                   |
| S or 0  | these classes, ascending: the first, then the difference to each next one; omitted if S = K       |
| R·S     | the votes, row by row; from the third row on, the votes that a prefix adds to the one before      |

Increments are smaller than cumulative counts, so most numbers take a single byte.

Shapes: N images, R rows, K classes, V numbers, B bytes, E pairs of an image and a class with a vote.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rsbench.records import IntArray

FORMAT = 2
# How many numbers precede the classes: format, R, K, S.
_HEADER_SIZE = 4
# An increment is below 2³², so it takes at most five groups of 7 bits.
_MAX_BYTES = 5
# Larger values can only be damage, and decoding them would exhaust the memory.
_MAX_ROWS, _MAX_CLASSES = 255, 10_000_000


def encode_votes(counts_NRK: IntArray) -> list[bytes]:
    """Return the encoded votes of each image.

    counts_NRK: as in `Votes.counts_NRK`: selection votes, then cumulative estimation votes at each prefix.
    Raises ValueError when a count is negative or 2³² or more, or decreases from one prefix to the next.
    """
    _, rows, classes = counts_NRK.shape
    increments_NRK = counts_NRK.copy()
    increments_NRK[:, 2:] -= counts_NRK[:, 1:-1]
    if increments_NRK.size and (increments_NRK.min() < 0 or increments_NRK.max() >= 2**32):
        raise ValueError(
            "votes must be cumulative counts whose increments lie in 0..2³²−1, "
            f"got {increments_NRK.min()} to {increments_NRK.max()}"
        )
    voted_NK = increments_NRK.any(axis=1)
    voted_N = voted_NK.sum(axis=1)
    listed_N = np.where(voted_N == classes, 0, voted_N)
    start_N = _starts(_HEADER_SIZE + listed_N + rows * voted_N)
    number_V = np.empty(start_N[-1], dtype=np.int64)
    for i, header in enumerate((FORMAT, rows, classes, voted_N)):
        number_V[start_N[:-1] + i] = header
    image_E, class_E = np.nonzero(voted_NK)
    rank_E = _ranks(voted_N)
    step_E = np.diff(class_E, prepend=0)
    step_E[rank_E == 0] = class_E[rank_E == 0]
    is_listed_E = listed_N[image_E] > 0
    number_V[(start_N[image_E] + _HEADER_SIZE + rank_E)[is_listed_E]] = step_E[is_listed_E]
    counts_start_E = start_N[image_E] + _HEADER_SIZE + listed_N[image_E] + rank_E
    for row in range(rows):
        number_V[counts_start_E + row * voted_N[image_E]] = increments_NRK[image_E, row, class_E]
    return _pack(number_V, start_N)


def decode_votes(contents: Sequence[bytes]) -> IntArray:
    """Return the array that `encode_votes` was given, N×R×K.

    Raises ValueError when there is no image, the bytes are damaged or not of this format, or the images differ in the
    number of rows or classes.
    """
    number_V, start_N = _unpack(contents)
    size_N = np.diff(start_N)
    if (size_N < _HEADER_SIZE).any() or (number_V[start_N[:-1]] != FORMAT).any():
        raise ValueError(f"these bytes are not votes of format {FORMAT}")
    rows_N, classes_N, voted_N = (number_V[start_N[:-1] + i] for i in range(1, _HEADER_SIZE))
    rows, classes = int(rows_N[0]), int(classes_N[0])
    if (rows_N != rows).any() or (classes_N != classes).any():
        raise ValueError("these images have different prefixes or classes: decode images of one run together")
    listed_N = np.where(voted_N == classes, 0, voted_N)
    if rows > _MAX_ROWS or classes > _MAX_CLASSES:
        raise ValueError(f"these votes are damaged: they have {rows} rows and {classes} classes")
    if (voted_N > classes).any() or (size_N != _HEADER_SIZE + listed_N + rows * voted_N).any():
        raise ValueError("these votes are damaged: they are longer or shorter than their header says")
    image_E, rank_E = np.repeat(np.arange(len(contents)), voted_N), _ranks(voted_N)
    is_listed_E = np.minimum(listed_N[image_E], 1)
    step_E = np.where(is_listed_E, number_V[start_N[image_E] + _HEADER_SIZE + is_listed_E * rank_E], 1)
    sum_E = np.cumsum(step_E)
    first_E = _starts(voted_N)[image_E]
    class_E = np.where(is_listed_E, sum_E - sum_E[first_E] + step_E[first_E], rank_E)
    if (step_E[rank_E > 0] < 1).any():
        raise ValueError("these votes are damaged: a class is listed twice")
    if len(class_E) and class_E.max() >= classes:
        raise ValueError(f"these votes are damaged: they list class {class_E.max()} of {classes} classes")
    counts_start_E = start_N[image_E] + _HEADER_SIZE + listed_N[image_E] + rank_E
    counts_NRK = np.zeros((len(contents), rows, classes), dtype=np.int64)
    for row in range(rows):
        counts_NRK[image_E, row, class_E] = number_V[counts_start_E + row * voted_N[image_E]]
    np.cumsum(counts_NRK[:, 1:], axis=1, out=counts_NRK[:, 1:])
    return counts_NRK


def _starts(size_N: IntArray) -> IntArray:
    """Return the start of each of N consecutive segments of the given sizes, and the end of the last one."""
    return np.concatenate([[0], np.cumsum(size_N)])


def _ranks(size_N: IntArray) -> IntArray:
    """Return 0, 1, … within each of N consecutive segments of the given sizes, concatenated."""
    return np.arange(size_N.sum()) - np.repeat(_starts(size_N)[:-1], size_N)


def _pack(number_V: IntArray, start_N: IntArray) -> list[bytes]:
    """Encode numbers as LEB128 and return the bytes of each image; `start_N` is where its numbers begin."""
    size_V = np.ones(len(number_V), dtype=np.int64)
    for group in range(1, _MAX_BYTES):
        size_V += number_V >= 1 << 7 * group
    begin_V = _starts(size_V)
    byte_B = np.zeros(begin_V[-1], dtype=np.uint8)
    for group in range(_MAX_BYTES):
        has_V = size_V > group
        more_V = (size_V[has_V] > group + 1).astype(np.int64) << 7
        byte_B[begin_V[:-1][has_V] + group] = (number_V[has_V] >> 7 * group) & 127 | more_V
    all_bytes = byte_B.tobytes()
    return [all_bytes[begin:end] for begin, end in pairwise(begin_V[start_N].tolist())]


def _unpack(contents: Sequence[bytes]) -> tuple[IntArray, IntArray]:
    """Decode LEB128 bytes and return the numbers of all images, and where those of each image begin."""
    byte_B: npt.NDArray[np.uint8] = np.frombuffer(b"".join(contents), dtype=np.uint8)
    end_N = np.cumsum([len(content) for content in contents])
    if not len(contents) or (np.diff(end_N, prepend=0) < 1).any():
        raise ValueError("there are no votes to decode")
    is_last_B = byte_B < 128
    if not is_last_B[end_N - 1].all():
        raise ValueError("these votes are damaged: they end in the middle of a number")
    last_V = np.flatnonzero(is_last_B)
    begin_V = np.concatenate([[0], last_V[:-1] + 1])
    size_V = last_V - begin_V + 1
    if size_V.max() > _MAX_BYTES:
        raise ValueError("these votes are damaged: a number is too large")
    number_V = np.zeros(len(last_V), dtype=np.int64)
    for group in range(int(size_V.max())):
        has_V = size_V > group
        number_V[has_V] |= (byte_B[begin_V[has_V] + group] & 127).astype(np.int64) << 7 * group
    return number_V, np.concatenate([[0], np.cumsum(is_last_B)[end_N - 1]])
