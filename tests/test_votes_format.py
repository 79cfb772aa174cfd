"""One image's votes as bytes. Shapes: R rows, K classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.records import IntArray
from rsbench.votes_format import decode_votes, encode_votes

# Selection votes 3 and 1, then 40 of class 2, and 60 more of class 0.
KNOWN_RK = np.array([[3, 0, 1], [0, 0, 40], [60, 0, 40]])
KNOWN_BYTES = bytes.fromhex(
    "01 03 03000000"  # format 1, three rows, three classes
    "02000000 01000000 01000000"  # classes with votes, by row
    "0000 0200 0200 0000"  # which classes
    "03000000 01000000 28000000 3c000000"  # their votes
)


@st.composite
def counts(draw: st.DrawFn) -> IntArray:
    """Selection votes, then cumulative estimation votes, mostly zero."""
    rows, classes = draw(st.integers(1, 6)), draw(st.integers(1, 12))
    votes = st.one_of(st.just(0), st.integers(0, 2**32 - 1))
    increments_RK = np.array(
        draw(st.lists(st.lists(votes, min_size=classes, max_size=classes), min_size=rows, max_size=rows)),
        dtype=np.int64,
    )
    increments_RK[1:] = np.cumsum(increments_RK[1:], axis=0)
    return increments_RK


@given(counts())
def test_round_trip(counts_RK: IntArray) -> None:
    before_RK = counts_RK.copy()
    decoded_RK = decode_votes(encode_votes(counts_RK))
    assert decoded_RK.dtype == np.int64
    np.testing.assert_array_equal(decoded_RK, before_RK)
    np.testing.assert_array_equal(counts_RK, before_RK)


def test_known_bytes() -> None:
    assert encode_votes(KNOWN_RK) == KNOWN_BYTES
    np.testing.assert_array_equal(decode_votes(KNOWN_BYTES), KNOWN_RK)


@pytest.mark.parametrize("classes", [2**16, 2**16 + 1, 100_000])
def test_classes_beyond_two_bytes(classes: int) -> None:
    counts_RK = np.zeros((2, classes), dtype=np.int64)
    counts_RK[0, 0], counts_RK[1, classes - 1] = 7, 9
    content = encode_votes(counts_RK)
    assert len(content) == 6 + 2 * 4 + 2 * (4 + (2 if classes <= 2**16 else 4))
    np.testing.assert_array_equal(decode_votes(content), counts_RK)


@pytest.mark.parametrize("length", range(len(KNOWN_BYTES)))
def test_cut_bytes_are_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"votes|buffer"):
        decode_votes(KNOWN_BYTES[:length])


def test_bytes_past_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match="announces another length"):
        decode_votes(KNOWN_BYTES + b"\0")


@pytest.mark.parametrize(
    ("position", "value", "complaint"),
    [(0, 2, "format 1"), (1, 2, "length"), (6, 3, "length"), (18, 3, "class 3 of 3"), (19, 255, "damaged")],
)
def test_damaged_bytes_are_refused(position: int, value: int, complaint: str) -> None:
    content = bytearray(KNOWN_BYTES)
    content[position] = value
    with pytest.raises(ValueError, match=complaint):
        decode_votes(bytes(content))


@given(st.binary(max_size=80).filter(lambda content: content[:1] != b"\1"))
def test_bytes_of_another_format_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="not votes of format 1"):
        decode_votes(content)


@pytest.mark.parametrize("counts_RK", [[[-1, 0]], [[0, 0], [5, 0], [4, 1]], [[2**32, 0]]])
def test_counts_that_do_not_fit_the_format_are_refused(counts_RK: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="cumulative counts"):
        encode_votes(np.array(counts_RK))
