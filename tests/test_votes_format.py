"""Encoding and decoding the votes of images. Shapes: N images, R rows, K classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.records import IntArray
from rsbench.votes_format import decode_votes, encode_votes

# One image with votes of two classes: 3 and 1 in the selection, then 40 of class 2, then 60 more of class 0; and one
# image on which every class has a vote.
KNOWN_NRK = np.array([[[3, 0, 1], [0, 0, 40], [60, 0, 40]], [[1, 2, 1], [39, 1, 0], [199, 1, 0]]])
KNOWN_BYTES = [
    bytes.fromhex(
        "02 03 03 02"  # format 2, three rows, three classes, two of them with votes
        "00 02"  # class 0, and the class two further
        "03 01 00 28 3c 00"  # their votes
    ),
    bytes.fromhex("02 03 03 03 01 02 01 27 01 00 a001 00 00"),
]


@st.composite
def counts(draw: st.DrawFn) -> IntArray:
    """Draw selection votes and cumulative estimation votes, many of them zero."""
    images, rows, classes = draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 12))
    votes = st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 2**32 - 1))
    size = images * rows * classes
    flat = draw(st.lists(votes, min_size=size, max_size=size))
    counts_NRK = np.array(flat, dtype=np.int64).reshape(images, rows, classes)
    counts_NRK[:, 1:] = np.cumsum(counts_NRK[:, 1:], axis=1)
    return counts_NRK


@given(counts())
def test_round_trip(counts_NRK: IntArray) -> None:
    before_NRK = counts_NRK.copy()
    contents = encode_votes(counts_NRK)
    decoded_NRK = decode_votes(contents)
    assert decoded_NRK.dtype == np.int64
    np.testing.assert_array_equal(decoded_NRK, before_NRK)
    np.testing.assert_array_equal(counts_NRK, before_NRK)
    # An image's bytes do not depend on the images beside it.
    assert contents == [encode_votes(counts_RK[None])[0] for counts_RK in counts_NRK]


def test_known_bytes() -> None:
    assert encode_votes(KNOWN_NRK) == KNOWN_BYTES
    np.testing.assert_array_equal(decode_votes(KNOWN_BYTES), KNOWN_NRK)


def test_votes_of_a_thousand_classes_take_few_bytes() -> None:
    counts_NRK = np.zeros((1, 5, 1000), dtype=np.int64)
    counts_NRK[0, :, [3, 500, 999]] = [[90, 80, 800, 8000, 80_000], [9, 15, 150, 1500, 15_000], [1, 5, 50, 500, 5000]]
    # Four header numbers take 5 bytes, three classes 5, and fifteen counts 24.
    assert len(encode_votes(counts_NRK)[0]) == 34


@pytest.mark.parametrize("classes", [2**16 + 1, 100_000])
def test_class_numbers_above_two_bytes(classes: int) -> None:
    counts_NRK = np.zeros((1, 2, classes), dtype=np.int64)
    counts_NRK[0, 0, 0], counts_NRK[0, 1, classes - 1] = 7, 9
    np.testing.assert_array_equal(decode_votes(encode_votes(counts_NRK)), counts_NRK)


@pytest.mark.parametrize("length", range(len(KNOWN_BYTES[1])))
def test_truncated_bytes_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match="votes"):
        decode_votes([KNOWN_BYTES[0], KNOWN_BYTES[1][:length]])


def test_additional_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="longer or shorter"):
        decode_votes([KNOWN_BYTES[0] + b"\0"])


@pytest.mark.parametrize(
    ("position", "value", "complaint"),
    [
        (0, 1, "format 2"),
        (1, 2, "longer or shorter"),
        (3, 3, "longer or shorter"),
        (3, 4, "longer or shorter"),
        (5, 3, "class 3 of 3"),
        (5, 0, "twice"),
        (11, 128, "middle of a number"),
    ],
)
def test_damaged_bytes_are_refused(position: int, value: int, complaint: str) -> None:
    content = bytearray(KNOWN_BYTES[0])
    content[position] = value
    with pytest.raises(ValueError, match=complaint):
        decode_votes([bytes(content)])


def test_numbers_that_are_too_large_are_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        decode_votes([b"\2" + b"\xff" * 5 + b"\1"])
    with pytest.raises(ValueError, match="have 3 rows and 34359738367 classes"):
        decode_votes([b"\2\3" + b"\xff" * 4 + b"\x7f\0"])


def test_images_of_different_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="different prefixes or classes"):
        decode_votes([KNOWN_BYTES[0], encode_votes(KNOWN_NRK[:, :2])[0]])
    with pytest.raises(ValueError, match="no votes"):
        decode_votes([])


@given(st.binary(max_size=80).filter(lambda content: content[:1] != b"\2"))
def test_bytes_of_another_format_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"not votes of format 2|no votes|damaged"):
        decode_votes([content])


@given(st.binary(min_size=1, max_size=40))
def test_any_bytes_are_decoded_or_refused(content: bytes) -> None:
    try:
        counts_NRK = decode_votes([b"\2" + content])
    except ValueError:
        return
    assert (counts_NRK >= 0).all()


@pytest.mark.parametrize("counts_RK", [[[-1, 0]], [[0, 0], [5, 0], [4, 1]], [[2**32, 0]]])
def test_counts_that_do_not_fit_the_format_are_refused(counts_RK: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="cumulative counts"):
        encode_votes(np.array([counts_RK]))
