"""Keyed randomness: a function of its key, and of nothing else."""

import random
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsbench.smoothing.randomness import KeyedRandom, Stage

keys = st.tuples(st.integers(0, 2**32 - 1), st.sampled_from(list(Stage)), st.integers(0, 2**40), st.integers(0, 2**40))


@given(keys)
def test_the_same_key_gives_the_same_draws(key: tuple[int, Stage, int, int]) -> None:
    assert torch.equal(KeyedRandom(*key).normal((3, 5)), KeyedRandom(*key).normal((3, 5)))


@given(keys, keys)
def test_different_keys_give_different_draws(
    one: tuple[int, Stage, int, int], other: tuple[int, Stage, int, int]
) -> None:
    same = torch.equal(KeyedRandom(*one).uniform((8,)), KeyedRandom(*other).uniform((8,)))
    assert same == (one == other)


def test_global_generators_neither_matter_nor_change() -> None:
    before = KeyedRandom(1, Stage.SELECT, 2, 3).uniform((4,))

    def global_draws(between: bool) -> tuple[float, float, float]:
        torch.manual_seed(99)
        random.seed(99)
        np.random.seed(99)
        if between:
            assert torch.equal(KeyedRandom(1, Stage.SELECT, 2, 3).uniform((4,)), before)
        return torch.rand(1).item(), random.random(), np.random.random()  # noqa: S311

    assert global_draws(between=True) == global_draws(between=False)


def test_is_numpys_philox_with_the_key_and_counter_that_the_name_says() -> None:
    bits = np.random.Philox(
        key=np.array([7, Stage.ESTIMATE], dtype=np.uint64), counter=np.array([0, 5, 11, 0], dtype=np.uint64)
    )
    expected = np.random.Generator(bits).random((2, 3), dtype=np.float32)
    np.testing.assert_array_equal(KeyedRandom(7, Stage.ESTIMATE, 11, 5).uniform((2, 3)).numpy(), expected)


def test_known_draws() -> None:
    # Literal values: a change of numpy that changed them would change every stored vote.
    drawn = KeyedRandom(0, Stage.ESTIMATE, 0, 0)
    assert drawn.integers(1000, (6,)).tolist() == [975, 813, 297, 751, 68, 671]
    assert KeyedRandom(3, Stage.SELECT, 14, 15).uniform((3,)).tolist() == [
        0.17081093788146973,
        0.796887993812561,
        0.09575027227401733,
    ]


def test_streams_of_neighbouring_keys_share_no_word() -> None:
    # 64-bit words: two independent streams of this size would meet with probability below 2⁻⁴⁰.
    words: set[int] = set()
    count = 0
    for seed, stage, image, block in product((0, 1), Stage, (0, 1, 2), (0, 1, 2)):
        drawn = KeyedRandom(seed, stage, image, block).integers(2**63 - 1, (50,)).tolist()
        words.update(drawn)
        count += len(drawn)
    assert len(words) == count


def test_selection_and_estimation_never_share_a_stream() -> None:
    for seed, image, block in product(range(3), range(5), range(5)):
        selection = KeyedRandom(seed, Stage.SELECT, image, block).uniform((16,))
        estimation = KeyedRandom(seed, Stage.ESTIMATE, image, block).uniform((16,))
        assert not (selection == estimation).any()


def test_image_and_block_are_not_interchangeable() -> None:
    assert not torch.equal(
        KeyedRandom(0, Stage.TRAIN, 1, 2).uniform((8,)), KeyedRandom(0, Stage.TRAIN, 2, 1).uniform((8,))
    )


def test_a_stream_goes_on_where_it_stopped() -> None:
    stream = KeyedRandom(0, Stage.TRAIN, 0, 0)
    assert not torch.equal(stream.uniform((8,)), stream.uniform((8,)))


def test_dtypes_and_ranges() -> None:
    stream = KeyedRandom(0, Stage.TRAIN, 0, 0)
    uniform = stream.uniform((10_000,))
    assert uniform.dtype == torch.float32
    assert 0.0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1.0
    assert torch.equal(uniform * 2**24, (uniform * 2**24).round())
    assert stream.normal((3,)).dtype == torch.float32
    integers = stream.integers(7, (1000,))
    assert integers.dtype == torch.int64
    assert set(integers.tolist()) == set(range(7))
    order = stream.permutation(100)
    assert sorted(order.tolist()) == list(range(100))
    assert order.tolist() != list(range(100))


@pytest.mark.parametrize("key", [(-1, 0, 0), (0, -1, 0), (0, 0, -1)])
def test_negative_words_are_refused(key: tuple[int, int, int]) -> None:
    seed, image, block = key
    with pytest.raises(OverflowError):
        KeyedRandom(seed, Stage.SELECT, image, block)
