"""Counting votes: the vote of every noisy copy is added to its own vote row."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rsbench.certification.voting import NonFiniteOutputError, VoteCounter, WrongOutputShapeError
from tests.fixtures.smoothing import FirstPixel

SHAPE = (1, 2, 2)
CPU = torch.device("cpu")


def make_counter(network: nn.Module, *, vote_rows: int = 2, classes: int = 3) -> VoteCounter:
    return VoteCounter(network, vote_rows=vote_rows, classes=classes, device=CPU)


def add_batch(counter: VoteCounter, *rows: tuple[int, int]) -> None:
    """Add one batch of copies, each given by its vote row and the class that it votes for."""
    counter.add(copies_of_classes(*(winner for _, winner in rows)), torch.tensor([vote_row for vote_row, _ in rows]))


def copies_of_classes(*classes: int) -> Tensor:
    """Noisy copies whose first pixel is the class that `FirstPixel` votes for."""
    return torch.tensor(classes, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, *SHAPE).clone()


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2)), min_size=1, max_size=9), max_size=8))
def test_counts_equal_those_of_a_loop_over_copies(batches: list[list[tuple[int, int]]]) -> None:
    counter = make_counter(FirstPixel(3), vote_rows=4)
    expected = torch.zeros((5, 3), dtype=torch.int64)
    for batch in batches:
        add_batch(counter, *batch)
        for vote_row, winner in batch:
            expected[vote_row, winner] += 1
    # The vote row past the last is that of padding.
    assert torch.equal(counter.counts(), expected[:4])


def test_without_batches_all_counts_are_zero_and_the_network_is_not_called() -> None:
    network = FirstPixel(3)
    assert make_counter(network).counts().tolist() == [[0, 0, 0], [0, 0, 0]]
    assert network.shapes == []


def test_counts_are_int64_on_the_cpu() -> None:
    counter = make_counter(FirstPixel(3))
    add_batch(counter, (0, 1))
    assert counter.counts().dtype == torch.int64
    assert counter.counts().device == CPU


class Broken(nn.Module):
    """Returns logits of the given width. One of them is replaced by `value` where the first pixel is 2."""

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
def test_outputs_that_are_not_finite_raise(value: float, position: int) -> None:
    counter = make_counter(Broken(value))
    classes = [1] * 10
    classes[position] = 2
    add_batch(counter, *((0, winner) for winner in classes))
    with pytest.raises(NonFiniteOutputError):
        counter.counts()


def test_finite_outputs_of_the_same_network_are_counted() -> None:
    counter = make_counter(Broken(float("nan")))
    add_batch(counter, (0, 1), (0, 1), (0, 0))
    assert counter.counts().sum() == 3


@pytest.mark.parametrize("width", [2, 4])
def test_another_number_of_classes_raises(width: int) -> None:
    counter = make_counter(Broken(0.0, width))
    with pytest.raises(WrongOutputShapeError, match=rf"\(4, {width}\), expected \(4, 3\)"):
        add_batch(counter, *[(0, 0)] * 4)
