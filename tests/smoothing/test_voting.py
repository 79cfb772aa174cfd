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


def ballot(network: nn.Module, *, batch_size: int = 4, tallies: int = 2, classes: int = 3) -> Ballot:
    return Ballot(network, batch_size=batch_size, tallies=tallies, classes=classes, shape_CHW=SHAPE, device=CPU)


def copies(*classes: int) -> Tensor:
    """Copies whose first pixel names the class that they vote for."""
    return torch.tensor(classes, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, *SHAPE).clone()


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.integers(0, 2), max_size=9)), max_size=8), st.integers(1, 7))
def test_votes_equal_those_of_a_loop_over_copies(casts: list[tuple[int, list[int]]], batch_size: int) -> None:
    network = FirstPixel(3)
    packed = ballot(network, batch_size=batch_size, tallies=4)
    expected = torch.zeros((4, 3), dtype=torch.int64)
    for tally, classes in casts:
        packed.cast(copies(*classes), tally)
        for winner in classes:
            expected[tally, winner] += 1
    assert torch.equal(packed.count(), expected)
    assert set(network.shapes) <= {(batch_size, *SHAPE)}


def test_the_network_sees_one_shape_and_no_batch_too_many() -> None:
    network = FirstPixel(3)
    packed = ballot(network, batch_size=4)
    packed.cast(copies(0, 1, 2, 0, 1), tally=0)
    packed.cast(copies(2, 2, 2, 2), tally=1)
    assert packed.count().tolist() == [[2, 2, 1], [0, 0, 4]]
    assert network.shapes == [(4, *SHAPE)] * 3


def test_padding_never_votes() -> None:
    # Padding is zeros, which name class 0.
    packed = ballot(FirstPixel(3), batch_size=16)
    packed.cast(copies(1), tally=1)
    assert packed.count().tolist() == [[0, 0, 0], [0, 1, 0]]


def test_an_empty_ballot_needs_no_pass() -> None:
    network = FirstPixel(3)
    assert ballot(network).count().tolist() == [[0, 0, 0], [0, 0, 0]]
    assert network.shapes == []


def test_votes_come_as_whole_numbers_on_the_cpu() -> None:
    packed = ballot(FirstPixel(3))
    packed.cast(copies(1), tally=0)
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
    packed.cast(copies(*classes), tally=0)
    with pytest.raises(NonFiniteOutputError):
        packed.count()


def test_finite_outputs_of_the_same_network_are_counted() -> None:
    packed = ballot(Broken(float("nan")))
    packed.cast(copies(1, 1, 0), tally=0)
    assert packed.count().sum() == 3


@pytest.mark.parametrize("width", [2, 4])
def test_another_number_of_classes_is_refused(width: int) -> None:
    packed = ballot(Broken(0.0, width))
    with pytest.raises(WrongOutputShapeError, match=rf"\(4, {width}\), expected \(4, 3\)"):
        packed.cast(copies(0, 0, 0, 0), tally=0)
