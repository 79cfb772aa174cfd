"""Images' votes as bytes, format 2: small, sparse, the same bytes on every machine.

An image is a sequence of unsigned LEB128 numbers (7 bits a byte, the lowest first, the top bit set on all bytes but the
last):

| numbers | what                                                                                         |
|---------|----------------------------------------------------------------------------------------------|
| 1       | the format, 2                                                                                |
| 1       | R, the number of rows: selection, then what each further prefix of n adds                    |
| 1       | K, the number of classes                                                                     |
| 1       | S, how many classes have a vote in any row                                                   |
| S or 0  | these classes, ascending: the first, then the steps from each to the next; none where S = K  |
| R·S     | their votes, row after row                                                                   |

Increments are smaller than cumulative counts, and most numbers then take one byte.
Shapes: N images, R rows, K classes, V numbers, B bytes, E (image, class) pairs with a vote.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rsbench.records import IntArray

FORMAT = 2
_HEAD = 4
# An increment fits into four bytes, and so into five groups of 7 bits.
_MOST_BYTES = 5
# More would be damage, and would ask for all memory.
_MOST_ROWS, _MOST_CLASSES = 255, 10_000_000


def encode_votes(counts_NRK: IntArray) -> list[bytes]:
    """The bytes of each image of `Votes.counts_NRK`: selection votes, then cumulative estimation votes.

    Raises ValueError when a count is negative, falls from a prefix to the next, or does not fit into four bytes.
    """
    _, rows, classes = counts_NRK.shape
    increments_NRK = counts_NRK.copy()
    increments_NRK[:, 2:] -= counts_NRK[:, 1:-1]
    if increments_NRK.size and (increments_NRK.min() < 0 or increments_NRK.max() >= 2**32):
        raise ValueError("votes must be cumulative counts whose increments lie in 0..2³²−1")
    voted_NK = increments_NRK.any(axis=1)
    voted_N = voted_NK.sum(axis=1)
    listed_N = np.where(voted_N == classes, 0, voted_N)
    start_N = _starts(_HEAD + listed_N + rows * voted_N)
    number_V = np.empty(start_N[-1], dtype=np.int64)
    for i, head in enumerate((FORMAT, rows, classes, voted_N)):
        number_V[start_N[:-1] + i] = head
    image_E, class_E = np.nonzero(voted_NK)
    place_E = _places(voted_N)
    step_E = np.diff(class_E, prepend=0)
    step_E[place_E == 0] = class_E[place_E == 0]
    is_listed_E = listed_N[image_E] > 0
    number_V[(start_N[image_E] + _HEAD + place_E)[is_listed_E]] = step_E[is_listed_E]
    counts_start_E = start_N[image_E] + _HEAD + listed_N[image_E] + place_E
    for row in range(rows):
        number_V[counts_start_E + row * voted_N[image_E]] = increments_NRK[image_E, row, class_E]
    return _pack(number_V, start_N)


def decode_votes(contents: Sequence[bytes]) -> IntArray:
    """The array that `encode_votes` was given, N×R×K.

    Raises ValueError when there is no image, the bytes are not of this format, or the images differ in rows or classes.
    """
    number_V, start_N = _unpack(contents)
    size_N = np.diff(start_N)
    if (size_N < _HEAD).any() or (number_V[start_N[:-1]] != FORMAT).any():
        raise ValueError(f"these bytes are not votes of format {FORMAT}")
    rows_N, classes_N, voted_N = (number_V[start_N[:-1] + i] for i in range(1, _HEAD))
    rows, classes = int(rows_N[0]), int(classes_N[0])
    if (rows_N != rows).any() or (classes_N != classes).any():
        raise ValueError("these images have votes of different prefixes or classes")
    listed_N = np.where(voted_N == classes, 0, voted_N)
    if rows > _MOST_ROWS or classes > _MOST_CLASSES:
        raise ValueError(f"these votes are damaged: they are of {rows} rows and {classes} classes")
    if (voted_N > classes).any() or (size_N != _HEAD + listed_N + rows * voted_N).any():
        raise ValueError("these votes are damaged: they are longer or shorter than they say")
    image_E, place_E = np.repeat(np.arange(len(contents)), voted_N), _places(voted_N)
    listed_E = np.minimum(listed_N[image_E], 1)
    step_E = np.where(listed_E, number_V[start_N[image_E] + _HEAD + listed_E * place_E], 1)
    reached_E = np.cumsum(step_E)
    first_E = _starts(voted_N)[image_E]
    class_E = np.where(listed_E, reached_E - reached_E[first_E] + step_E[first_E], place_E)
    if (step_E[place_E > 0] < 1).any():
        raise ValueError("these votes are damaged: a class stands in them twice")
    if len(class_E) and class_E.max() >= classes:
        raise ValueError(f"these votes are damaged: one is for class {class_E.max()} of {classes}")
    counts_start_E = start_N[image_E] + _HEAD + listed_N[image_E] + place_E
    counts_NRK = np.zeros((len(contents), rows, classes), dtype=np.int64)
    for row in range(rows):
        counts_NRK[image_E, row, class_E] = number_V[counts_start_E + row * voted_N[image_E]]
    np.cumsum(counts_NRK[:, 1:], axis=1, out=counts_NRK[:, 1:])
    return counts_NRK


def _starts(size_N: IntArray) -> IntArray:
    """Where each stretch begins, and after the last its end."""
    return np.concatenate([[0], np.cumsum(size_N)])


def _places(size_N: IntArray) -> IntArray:
    """0, 1, … within each stretch."""
    return np.arange(size_N.sum()) - np.repeat(_starts(size_N)[:-1], size_N)


def _pack(number_V: IntArray, start_N: IntArray) -> list[bytes]:
    """LEB128 of the numbers, cut where images begin."""
    size_V = np.ones(len(number_V), dtype=np.int64)
    for group in range(1, _MOST_BYTES):
        size_V += number_V >= 1 << 7 * group
    begin_V = _starts(size_V)
    byte_B = np.zeros(begin_V[-1], dtype=np.uint8)
    for group in range(_MOST_BYTES):
        has_V = size_V > group
        more_V = (size_V[has_V] > group + 1).astype(np.int64) << 7
        byte_B[begin_V[:-1][has_V] + group] = (number_V[has_V] >> 7 * group) & 127 | more_V
    whole = byte_B.tobytes()
    return [whole[begin:end] for begin, end in pairwise(begin_V[start_N].tolist())]


def _unpack(contents: Sequence[bytes]) -> tuple[IntArray, IntArray]:
    """The numbers of all images, and where each image's begin among them."""
    byte_B: npt.NDArray[np.uint8] = np.frombuffer(b"".join(contents), dtype=np.uint8)
    end_N = np.cumsum([len(content) for content in contents])
    if not len(contents) or (np.diff(end_N, prepend=0) < 1).any():
        raise ValueError("there are no votes to read")
    is_last_B = byte_B < 128
    if not is_last_B[end_N - 1].all():
        raise ValueError("these votes are damaged: they end in the middle of a number")
    last_V = np.flatnonzero(is_last_B)
    begin_V = np.concatenate([[0], last_V[:-1] + 1])
    size_V = last_V - begin_V + 1
    if size_V.max() > _MOST_BYTES:
        raise ValueError("these votes are damaged: a number is too large")
    number_V = np.zeros(len(last_V), dtype=np.int64)
    for group in range(int(size_V.max())):
        has_V = size_V > group
        number_V[has_V] |= (byte_B[begin_V[has_V] + group] & 127).astype(np.int64) << 7 * group
    return number_V, np.concatenate([[0], np.cumsum(is_last_B)[end_N - 1]])
