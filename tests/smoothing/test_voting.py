"""Ballots: every copy votes once, for its own tally, in batches of one shape."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rsbench.smoothing.voting import Ballot, NonFiniteOutputError, WrongOutputShapeError
from tests.fixtures.networks import FirstPixel

SHAPE = (1, 2, 2)
CPU = torch.device("cpu")


def ballot(network: nn.Module, *, tallies: int = 2, classes: int = 3) -> Ballot:
    return Ballot(network, tallies=tallies, classes=classes, device=CPU)


def cast(into: Ballot, *votes: tuple[int, int]) -> None:
    """One batch of copies: of each its tally and the class that it votes for."""
    into.cast(copies(*(vote for _, vote in votes)), torch.tensor([tally for tally, _ in votes]))


def copies(*classes: int) -> Tensor:
    """Copies whose first pixel names the class that they vote for."""
    return torch.tensor(classes, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, *SHAPE).clone()


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=9), max_size=8))
def test_votes_equal_those_of_a_loop_over_copies(batches: list[list[tuple[int, int]]]) -> None:
    packed = ballot(FirstPixel(3), tallies=4)
    expected = torch.zeros((5, 3), dtype=torch.int64)
    for batch in batches:
        cast(packed, *batch)
        for tally, winner in batch:
            expected[tally, winner] += 1
    # The tally past the last is dropped.
    assert torch.equal(packed.count(), expected[:4])


def test_an_empty_ballot_needs_no_pass() -> None:
    network = FirstPixel(3)
    assert ballot(network).count().tolist() == [[0, 0, 0], [0, 0, 0]]
    assert network.shapes == []


def test_votes_come_as_whole_numbers_on_the_cpu() -> None:
    packed = ballot(FirstPixel(3))
    cast(packed, (0, 1))
    assert packed.count().dtype == torch.int64
    assert packed.count().device == CPU


class Broken(nn.Module):
    """Logits of the given width, one of them replaced by a value where the first pixel is 2."""

    def __init__(self, value: float, width: int = 3) -> None:
        super().__init__()
        self._value = value
        self._width = width

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BK = torch.zeros(len(x_BCHW), self._width)
        logits_BK[x_BCHW[:, 0, 0, 0] == 2, -1] = self._value
        return logits_BK


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("position", [0, 3, 9])
def test_outputs_that_are_not_finite_are_refused(value: float, position: int) -> None:
    packed = ballot(Broken(value))
    classes = [1] * 10
    classes[position] = 2
    cast(packed, *((0, vote) for vote in classes))
    with pytest.raises(NonFiniteOutputError):
        packed.count()


def test_finite_outputs_of_the_same_network_are_counted() -> None:
    packed = ballot(Broken(float("nan")))
    cast(packed, (0, 1), (0, 1), (0, 0))
    assert packed.count().sum() == 3


@pytest.mark.parametrize("width", [2, 4])
def test_another_number_of_classes_is_refused(width: int) -> None:
    packed = ballot(Broken(0.0, width))
    with pytest.raises(WrongOutputShapeError, match=rf"\(4, {width}\), expected \(4, 3\)"):
        cast(packed, *[(0, 0)] * 4)
