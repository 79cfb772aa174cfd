"""Keyed randomness: a function of its key, and of nothing else."""

import random
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2
from torch import Tensor
from torch.func import _random as stateless

from rsbench.errors import UsageError
from rsbench.smoothing.randomness import LARGEST_IMAGE, KeyedRandom, Stage, check_streams, permutation

Key = tuple[int, Stage, int, int]

keys = st.tuples(
    st.integers(0, 2**32 - 1), st.sampled_from(list(Stage)), st.integers(0, LARGEST_IMAGE), st.integers(0, 2**40)
)
WORD = 2**32


def stream(seed: int = 0, stage: Stage = Stage.ESTIMATE, image: int = 0, copy: int = 0, count: int = 1) -> KeyedRandom:
    return KeyedRandom.of(seed, stage, image, range(copy, copy + count))


def philox(key: int, counter: int) -> list[int]:
    """Philox 4×32-10 as Salmon et al. 2011 define it: four words of a key and a counter."""
    k, c = [key % WORD, key // WORD], [counter >> 32 * i & WORD - 1 for i in range(4)]
    for _ in range(10):
        one, two = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [two // WORD ^ c[1] ^ k[0], two % WORD, one // WORD ^ c[3] ^ k[1], one % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


def halves(at: Key, count: int) -> list[tuple[int, int]]:
    """The first pairs of words that belong to a copy."""
    seed, stage, image, copy = at
    key, counter = seed * 2**32 + stage * 2**29 + image, copy * 2**20
    words = [word for step in range(-(-count // 2)) for word in philox(key, counter + step)]
    return list(zip(words[::2], words[1::2], strict=True))[:count]


@given(keys)
def test_draws_are_the_philox_words_of_the_key_and_counter_that_the_docstring_says(at: Key) -> None:
    # Two words of 32 bits make one; 2⁶² takes its lower bits.
    expected = [(high << 32 | low) % 2**62 for high, low in halves(at, 6)]
    assert stream(*at).words(6).tolist() == [expected]


def test_known_answers_of_the_reference() -> None:
    # From the authors' own test vectors, key and counter all zero: the check of the check.
    assert philox(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@given(keys, st.integers(1, 40), st.integers(0, 40))
def test_a_copy_draws_the_same_alone_and_in_any_batch(at: Key, count: int, before: int) -> None:
    seed, stage, image, copy = at
    first = max(0, copy - before)
    draws: list[Callable[[KeyedRandom], Tensor]] = [
        lambda streams: streams.normal((3, 5)),
        lambda streams: streams.uniform((7,)),
        lambda streams: streams.integers(1000, (2, 2)),
    ]
    for draw in draws:
        together = draw(KeyedRandom.of(seed, stage, image, range(first, copy + count)))
        assert torch.equal(together[copy - first], draw(stream(*at))[0])


@given(keys, keys)
def test_different_keys_give_different_draws(one: Key, other: Key) -> None:
    same = torch.equal(stream(*one).uniform((8,)), stream(*other).uniform((8,)))
    assert same == (one == other)


def test_global_generators_neither_matter_nor_change() -> None:
    before = stream(1, Stage.SELECT, 2, 3).uniform((4,))

    def global_draws(between: bool) -> tuple[float, float, float]:
        torch.manual_seed(99)
        random.seed(99)
        np.random.seed(99)
        if between:
            assert torch.equal(stream(1, Stage.SELECT, 2, 3).uniform((4,)), before)
        return torch.rand(1).item(), random.random(), np.random.random()  # noqa: S311

    assert global_draws(between=True) == global_draws(between=False)


def test_streams_of_neighbouring_keys_share_no_word() -> None:
    # 62 bits each: independent numbers of this count would meet with probability below 2⁻³⁴.
    words: set[int] = set()
    count = 0
    for seed, stage, image in product((0, 1), Stage, (0, 1, 2)):
        drawn = stream(seed, stage, image, count=3).words(50).flatten().tolist()
        words.update(drawn)
        count += len(drawn)
    assert len(words) == count


def test_the_largest_draw_of_a_copy_ends_before_the_next_copy_begins() -> None:
    copies = stream(3, copy=5, count=2).words(2**21)
    # The last counter of one and the first of the other are neighbours, and no number is in both.
    assert np.intersect1d(copies[0].numpy(), copies[1].numpy()).size == 0
    high, low = philox(3 * 2**32 + Stage.ESTIMATE * 2**29, 6 * 2**20 - 1)[2:]
    assert copies[0, -1].item() == (high << 32 | low) % 2**62
    with pytest.raises(OverflowError, match="has no stream of its own"):
        stream().words(2**21 + 1)


def test_a_stream_goes_on_where_it_stopped() -> None:
    twice = stream(count=2)
    first, second = twice.words(6), twice.words(6)
    assert torch.equal(torch.cat((first, second), dim=1), stream(count=2).words(12))


def test_dtypes_and_ranges() -> None:
    uniform = stream(count=10).uniform((10, 100))
    assert uniform.dtype == torch.float32
    assert uniform.shape == (10, 10, 100)
    assert 0.0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1.0
    assert torch.equal(uniform * 2**24, (uniform * 2**24).round())
    assert stream().normal((3,)).dtype == torch.float32
    assert stream().words(3).dtype == torch.int64


@given(keys, st.integers(1, 2**22), st.integers(1, 30))
def test_whole_numbers_are_the_digits_of_words(at: Key, high: int, count: int) -> None:
    together = next(k for k in range(22, 0, -1) if high**k <= 2**22) if high > 1 else 22
    size = -(-count // together)
    words = [(hi << 32 | lo) % high**together for hi, lo in halves(at, size)]
    expected = [word // high**place % high for place in range(together) for word in words][:count]
    drawn = stream(*at).integers(high, (count,))
    assert drawn.dtype == torch.float32
    assert drawn.tolist() == [expected]


@pytest.mark.parametrize("high", [2, 28, 45, 46, 883, 2048, 2049, 2**22])
def test_whole_numbers_are_uniform(high: int) -> None:
    drawn = stream(count=100).integers(high, (1001,)).flatten().numpy()
    assert drawn.min() >= 0
    assert drawn.max() < high
    # Chi-square over at most 50 cells of equal size; the chance of such a value is 10⁻⁶.
    cells = min(high, 50)
    counts = np.bincount((drawn * cells // high).astype(int), minlength=cells)
    sizes = np.bincount(np.arange(high) * cells // high, minlength=cells) / high * len(drawn)
    assert ((counts - sizes) ** 2 / sizes).sum() < chi2.isf(1e-6, cells - 1)


@pytest.mark.parametrize("high", [0, 2**22 + 1])
def test_whole_numbers_that_float32_does_not_hold_are_refused(high: int) -> None:
    with pytest.raises(ValueError, match="are not drawn"):
        stream().integers(high, (1,))


def test_a_permutation_is_one_and_its_own() -> None:
    order = permutation(4, Stage.ORDER, 9, 100)
    assert sorted(order.tolist()) == list(range(100))
    assert order.tolist() != list(range(100))
    assert torch.equal(order, permutation(4, Stage.ORDER, 9, 100))
    assert not torch.equal(order, permutation(4, Stage.ORDER, 10, 100))


@pytest.mark.statistical
def test_normal_numbers_have_the_normal_law() -> None:
    drawn = stream(count=1000).normal((1000,)).double().flatten()
    # A million: moments within 5 of their standard errors, which are √(1, 2, 15, 96)/1000.
    for power, moment, spread in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert drawn.pow(power).mean().item() == pytest.approx(moment, abs=5e-3 * spread**0.5)
    # Tails of both sides: P(|z| > 3) = 0.0026998, five standard errors.
    assert (drawn.abs() > 3).double().mean().item() == pytest.approx(0.0026998, abs=5 * 5.19e-5)
    assert drawn.abs().max() > 4.0


@pytest.mark.parametrize(
    ("seed", "image", "copy"), [(-1, 0, 0), (2**32, 0, 0), (0, -1, 0), (0, 2**29, 0), (0, 0, -1), (0, 0, 2**43)]
)
def test_numbers_that_do_not_fit_are_refused(seed: int, image: int, copy: int) -> None:
    with pytest.raises(OverflowError, match="fit"):
        stream(seed, Stage.SELECT, image, copy)


def test_a_torch_that_draws_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_streams(torch.device("cpu"))
    check_streams.cache_clear()

    def shifted(key: Tensor, result: Tensor, **_: object) -> Tensor:
        return result.zero_()

    monkeypatch.setattr(stateless, "uniform_", shifted)
    with pytest.raises(UsageError, match="draws other noise on cpu"):
        check_streams(torch.device("cpu"))
