"""Keyed random numbers: a function of seed, stage, image and copy, and of nothing else."""

import hashlib
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
from rsbench.smoothing.randomness import (
    MAX_COPIES,
    MAX_IMAGES,
    MAX_SEEDS,
    MAX_VALUES_PER_COPY,
    STAGES,
    KeyedRandom,
    Stage,
    check_streams,
    permutation,
)

StreamName = tuple[int, int, int, int]
"""Seed, stage, image and copy."""

stream_names = st.tuples(
    st.integers(0, MAX_SEEDS - 1),
    st.integers(0, STAGES - 1),
    st.integers(0, MAX_IMAGES - 1),
    st.integers(0, MAX_COPIES - 1),
)
WORD = 2**32

# SHA-256 of what the release that had 3 bits for the stage drew in each of its eight stages. These never change.
GOLDEN_STAGES = {
    0: "82bf5862bd30b5fcfbff906c7b0dda0dc45ff7df990fb3b1fbd056e0c2309296",
    1: "24af28452827bf9f1027e55bc9af566cd3d860b8bce696325433916ad05c853e",
    2: "b369b67bbcd25f5b3a9df1b92b4ef818759b7fba795c0cc3b6f7868562a6f1e3",
    3: "f2d2bb5533b419d90fc08ee166a66f0105e6881ef2b5d20e19fbc21a123e22f7",
    4: "eae245985bd32a4c7f73eae29611bf0871b80eb22090e560998b946b24d80a06",
    5: "ac4626448034245e78bea1f0e7c99f3a6e963135397b82a656809cfc71b8ad99",
    6: "55eb3a1c7842e82520553f3d5c18ef4852eadafc87a79d8aa238ba45d963772b",
    7: "6518b1533a3e0a272940c3ece1f1f5da09f22d9d4e887e7b7e7aad1cc1d52622",
}


def open_stream(seed: int = 0, stage: int = Stage.ESTIMATE, image: int = 0, copy: int = 0) -> KeyedRandom:
    """The stream of one copy. Unlike `KeyedRandom.of`, this takes stages that have no name yet."""
    return KeyedRandom(seed, torch.tensor([stage]), torch.tensor([image]), torch.tensor([copy]))


def streams(count: int, seed: int = 0, stage: Stage = Stage.ESTIMATE, image: int = 0, first: int = 0) -> KeyedRandom:
    return KeyedRandom.of(seed, stage, image, range(first, first + count))


def philox(key: int, counter: int) -> list[int]:
    """Philox 4×32-10 as Salmon et al. (2011) define it: four 32-bit words from a key and a counter."""
    k, c = [key % WORD, key // WORD], [counter >> 32 * i & WORD - 1 for i in range(4)]
    for _ in range(10):
        product0, product2 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [product2 // WORD ^ c[1] ^ k[0], product2 % WORD, product0 // WORD ^ c[3] ^ k[1], product0 % WORD]
        k = [(k[0] + 0x9E3779B9) % WORD, (k[1] + 0xBB67AE85) % WORD]
    return c


def documented_words(name: StreamName) -> tuple[int, int]:
    """Key and counter of a stream's first draw, as docs/design/engine.md lays them out."""
    seed, stage, image, copy = name
    key = seed * 2**32 + stage % 8 * 2**29 + image
    counter = stage // 8 * 2**56 + copy * 2**20
    return key, counter


def documented_halves(name: StreamName, count: int) -> list[tuple[int, int]]:
    """The first pairs of 32-bit words of a stream."""
    key, counter = documented_words(name)
    words = [word for step in range(-(-count // 2)) for word in philox(key, counter + step)]
    return list(zip(words[::2], words[1::2], strict=True))[:count]


@given(stream_names)
def test_draws_are_the_philox_words_of_the_documented_key_and_counter(name: StreamName) -> None:
    # Two words of 32 bits make one of 64; modulo 2⁶² leaves the lower bits.
    expected = [(high << 32 | low) % 2**62 for high, low in documented_halves(name, 6)]
    assert open_stream(*name).words(6).tolist() == [expected]


def test_philox_agrees_with_the_reference() -> None:
    # From the authors' own test vectors: key and counter all zero.
    assert philox(0, 0) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


@given(stream_names)
def test_key_and_counter_contain_seed_stage_image_and_copy(name: StreamName) -> None:
    # What can be read back from key and counter cannot be shared by two streams. A draw adds less than 2²⁰ to the
    # counter, which reaches none of the fields.
    first_key, first_counter = open_stream(*name)._next_keys(torch.empty(1, 1)).flatten().tolist()
    last = open_stream(*name)
    last._steps_drawn = MAX_VALUES_PER_COPY // 2 - 1
    last_key, last_counter = last._next_keys(torch.empty(1, 1)).flatten().tolist()
    for key, counter in ((first_key, first_counter), (last_key, last_counter)):
        seed, low_stage, image = key >> 32, key >> 29 & 7, key & 2**29 - 1
        high_stage, copy = counter >> 56, counter >> 20 & 2**36 - 1
        assert (seed, high_stage * 8 + low_stage, image, copy) == name


@pytest.mark.parametrize("stage", GOLDEN_STAGES)
def test_the_first_eight_stages_draw_what_they_always_drew(stage: int) -> None:
    def rows() -> KeyedRandom:
        copy_B = torch.tensor([0, 1, 2**20, 2**36 - 1])
        image_B = torch.tensor([0, 5, 2**29 - 1, 7])
        return KeyedRandom(3_000_000_019, torch.full_like(copy_B, stage), image_B, copy_B)

    draws = [rows().words(3), rows().uniform((2, 3)), rows().integers(883, (5,))]
    assert hashlib.sha256(b"".join(draw.numpy().tobytes() for draw in draws)).hexdigest() == GOLDEN_STAGES[stage]


def test_the_number_of_a_stage_never_changes() -> None:
    assert {stage.name: int(stage) for stage in Stage} == {
        "SELECT": 0,
        "ESTIMATE": 1,
        "TRAIN": 2,
        "PREFLIGHT": 3,
        "ORDER": 4,
        "SIGMA_ASCENT": 5,
        "ROUTER_SELECT": 6,
        "ROUTER_ESTIMATE": 7,
        "ATTACK": 8,
        "PREDICT": 9,
        "VALIDATION": 10,
        "MEMORY_QUERY": 11,
        "AUGMENT": 12,
        "TRAIN_ATTACK": 13,
        "TRAIN_SIGMA_ASCENT": 14,
    }
    assert max(Stage) < STAGES
    assert MAX_COPIES >= 2**32


@given(stream_names, st.integers(1, 40), st.integers(0, 40))
def test_a_copy_draws_the_same_alone_and_in_any_batch(name: StreamName, after: int, before: int) -> None:
    seed, stage, image, copy = name
    first, last = max(0, copy - before), min(MAX_COPIES - 1, copy + after)
    copy_B = torch.arange(first, last + 1)
    draws: list[Callable[[KeyedRandom], Tensor]] = [
        lambda rows: rows.normal((3, 5)),
        lambda rows: rows.uniform((7,)),
        lambda rows: rows.integers(1000, (2, 2)),
    ]
    for draw in draws:
        batch = draw(KeyedRandom(seed, torch.full_like(copy_B, stage), torch.full_like(copy_B, image), copy_B))
        assert torch.equal(batch[copy - first], draw(open_stream(*name))[0])


@given(stream_names, stream_names)
def test_different_streams_draw_different_numbers(name: StreamName, other: StreamName) -> None:
    same = torch.equal(open_stream(*name).uniform((8,)), open_stream(*other).uniform((8,)))
    assert same == (name == other)


def test_global_generators_have_no_effect_and_are_not_changed() -> None:
    before = open_stream(1, Stage.SELECT, 2, 3).uniform((4,))

    def global_draws(*, draw_between: bool) -> tuple[float, float, float]:
        torch.manual_seed(99)
        random.seed(99)
        np.random.seed(99)
        if draw_between:
            assert torch.equal(open_stream(1, Stage.SELECT, 2, 3).uniform((4,)), before)
        return torch.rand(1).item(), random.random(), np.random.random()  # noqa: S311

    assert global_draws(draw_between=True) == global_draws(draw_between=False)


def test_neighbouring_streams_share_no_word() -> None:
    # 62 bits each: independent numbers of this count would coincide with probability below 2⁻³⁰.
    words: set[int] = set()
    count = 0
    for seed, stage, image in product((0, 1), Stage, (0, 1, 2)):
        drawn = streams(3, seed, stage, image).words(50).flatten().tolist()
        words.update(drawn)
        count += len(drawn)
    assert len(words) == count


def test_the_largest_draw_of_a_copy_ends_before_the_next_copy_begins() -> None:
    copies = streams(2, seed=3, first=5).words(MAX_VALUES_PER_COPY)
    # The last counter of the first copy precedes the first counter of the second, and no number is in both.
    assert np.intersect1d(copies[0].numpy(), copies[1].numpy()).size == 0
    high, low = philox(3 * 2**32 + Stage.ESTIMATE * 2**29, 6 * 2**20 - 1)[2:]
    assert copies[0, -1].item() == (high << 32 | low) % 2**62
    with pytest.raises(OverflowError, match="would overlap with the next copy"):
        open_stream().words(MAX_VALUES_PER_COPY + 1)


def test_successive_draws_continue_the_stream() -> None:
    rows = streams(2)
    first, second = rows.words(6), rows.words(6)
    assert torch.equal(torch.cat((first, second), dim=1), streams(2).words(12))


def test_dtypes_and_ranges() -> None:
    uniform = streams(10).uniform((10, 100))
    assert uniform.dtype == torch.float32
    assert uniform.shape == (10, 10, 100)
    assert 0.0 <= uniform.min() < 0.01
    assert 0.99 < uniform.max() < 1.0
    assert torch.equal(uniform * 2**24, (uniform * 2**24).round())
    assert open_stream().normal((3,)).dtype == torch.float32
    assert open_stream().words(3).dtype == torch.int64


@given(stream_names, st.integers(1, 2**22), st.integers(1, 30))
def test_integers_are_the_digits_of_words(name: StreamName, high: int, count: int) -> None:
    per_word = next(k for k in range(22, 0, -1) if high**k <= 2**22) if high > 1 else 22
    size = -(-count // per_word)
    words = [(hi << 32 | lo) % high**per_word for hi, lo in documented_halves(name, size)]
    expected = [word // high**place % high for place in range(per_word) for word in words][:count]
    drawn = open_stream(*name).integers(high, (count,))
    assert drawn.dtype == torch.float32
    assert drawn.tolist() == [expected]


@pytest.mark.parametrize("high", [2, 28, 45, 46, 883, 2048, 2049, 2**22])
def test_integers_are_uniform(high: int) -> None:
    drawn = streams(100).integers(high, (1001,)).flatten().numpy()
    assert drawn.min() >= 0
    assert drawn.max() < high
    # Chi-square over at most 50 cells of equal size; a larger value has probability 10⁻⁶.
    cells = min(high, 50)
    counts = np.bincount((drawn * cells // high).astype(int), minlength=cells)
    expected = np.bincount(np.arange(high) * cells // high, minlength=cells) / high * len(drawn)
    assert ((counts - expected) ** 2 / expected).sum() < chi2.isf(1e-6, cells - 1)


@pytest.mark.parametrize("high", [0, 2**22 + 1])
def test_integers_that_float32_cannot_hold_raise(high: int) -> None:
    with pytest.raises(ValueError, match="cannot be drawn"):
        open_stream().integers(high, (1,))


def test_permutation_depends_on_its_stream_only() -> None:
    order = permutation(4, Stage.ORDER, 9, 100)
    assert sorted(order.tolist()) == list(range(100))
    assert order.tolist() != list(range(100))
    assert torch.equal(order, permutation(4, Stage.ORDER, 9, 100))
    assert not torch.equal(order, permutation(4, Stage.ORDER, 10, 100))


@pytest.mark.statistical
def test_normal_numbers_have_the_moments_and_tails_of_the_normal_distribution() -> None:
    drawn = streams(1000).normal((1000,)).double().flatten()
    # A million: moments within 5 of their standard errors, which are √(1, 2, 15, 96)/1000.
    for power, moment, variance in ((1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)):
        assert drawn.pow(power).mean().item() == pytest.approx(moment, abs=5e-3 * variance**0.5)
    # Both tails: P(|z| > 3) = 0.0026998, within five standard errors.
    assert (drawn.abs() > 3).double().mean().item() == pytest.approx(0.0026998, abs=5 * 5.19e-5)
    assert drawn.abs().max() > 4.0


@pytest.mark.parametrize(
    ("seed", "image", "copy"),
    [(-1, 0, 0), (MAX_SEEDS, 0, 0), (0, -1, 0), (0, MAX_IMAGES, 0), (0, 0, -1), (0, 0, MAX_COPIES)],
)
def test_numbers_that_do_not_fit_into_their_bits_raise(seed: int, image: int, copy: int) -> None:
    with pytest.raises(OverflowError, match="fit"):
        KeyedRandom.of(seed, Stage.SELECT, image, range(copy, copy + 1))


def test_torch_with_other_random_numbers_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    check_streams(torch.device("cpu"))
    check_streams.cache_clear()

    def zeros(key: Tensor, result: Tensor, **_: object) -> Tensor:
        return result.zero_()

    monkeypatch.setattr(stateless, "uniform_", zeros)
    with pytest.raises(UsageError, match="draws other random numbers on cpu"):
        check_streams(torch.device("cpu"))
