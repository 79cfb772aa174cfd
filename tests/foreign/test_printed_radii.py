"""The radius claimed for a printed one never exceeds the radius that was certified."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsbench.foreign.printed_radii import (
    PrintedNumber,
    PrintPrecision,
    parse_radius,
    smallest_grid_values,
    smallest_values,
)
from rsbench.records import FloatArray

RADII = st.lists(st.one_of(st.floats(0.0, 10.0), st.floats(0.0, 1e-3), st.floats(0.0, 900_000.0)), min_size=1)


def parsed(texts: list[str]) -> list[PrintedNumber]:
    numbers = [parse_radius(text) for text in texts]
    assert None not in numbers
    return [number for number in numbers if number is not None]


def claimed(*texts: str) -> list[float]:
    numbers = parsed(list(texts))
    return [float(radius) for radius in smallest_values(numbers, PrintPrecision.of(numbers))]


def precision_text(*texts: str) -> str:
    return PrintPrecision.of(parsed(list(texts))).text


@given(RADII, st.sampled_from(["{:.3}", "{:.3f}", "{:.4}", "{:.2f}", "{:.6f}", "{:.17}", "{!r}"]))
def test_the_claimed_radius_never_exceeds_the_certified_one(radii: list[float], form: str) -> None:
    numbers = parsed([form.format(radius) for radius in radii])
    assert (smallest_values(numbers, PrintPrecision.of(numbers)) <= np.array(radii)).all()


@given(st.lists(st.floats(1e-4, 10.0), min_size=30, max_size=30), st.sampled_from(["{:.3}", "{:.3f}"]))
def test_at_most_half_a_unit_of_the_last_place_is_lost(radii: list[float], form: str) -> None:
    # The added radius prints all digits of the format, so that the precision is known.
    texts = [form.format(radius) for radius in (*radii, 0.000123)]
    numbers = parsed(texts)
    lost_N: FloatArray = np.array([float(text) for text in texts]) - smallest_values(
        numbers, PrintPrecision.of(numbers)
    )
    if form == "{:.3f}":
        assert (lost_N <= 0.0005 * (1 + 1e-9)).all()
    else:
        value_N = np.array([float(text) for text in texts])
        assert (lost_N <= 0.5 * 10.0 ** (np.floor(np.log10(value_N) + 1e-12) - 2) * (1 + 1e-9)).all()


@given(st.lists(st.integers(0, 3000), min_size=1), st.sampled_from([16, 255]), st.sampled_from(["{:.3}", "{:.3f}"]))
def test_grid_radii_are_recovered_or_lowered(steps: list[int], q: int, form: str) -> None:
    numbers = parsed([form.format(step / q) for step in steps])
    radius_N, impossible = smallest_grid_values(numbers, PrintPrecision.of(numbers), q)
    assert impossible is None
    for step, radius in zip(steps, radius_N, strict=True):
        assert Fraction(float(radius)) <= Fraction(step, q)


def test_a_grid_radius_is_recovered_if_only_one_prints_as_the_text() -> None:
    # Below 1, three digits are finer than 1/255; above, several multiples of 1/255 print as one text.
    steps = np.arange(255)
    numbers = parsed([f"{step / 255:.3}" for step in steps])
    radius_N, _ = smallest_grid_values(numbers, PrintPrecision.of(numbers), 255)
    np.testing.assert_array_equal(np.round(radius_N * 255), steps)
    numbers = parsed(["1.23"])
    radius_N, _ = smallest_grid_values(numbers, PrintPrecision.of(numbers), 255)
    assert radius_N.tolist() == [np.nextafter(313 / 255, 0.0)]
    assert 312 / 255 < 1.225 < 313 / 255 < 314 / 255 < 1.235


def test_a_text_that_no_grid_radius_prints_as_is_reported() -> None:
    numbers = parsed(["0.125", "0.3", "0.26"])
    assert smallest_grid_values(numbers, PrintPrecision.of(numbers), 16)[1] == 1


def test_examples() -> None:
    assert claimed("0.36", "0.357", "1.91", "2.68e-05", "0.0") == [
        0.3595,
        0.3565,
        pytest.approx(1.905),
        pytest.approx(2.675e-05),
        0.0,
    ]
    assert claimed("0.360", "12.345", "0.000") == [0.3595, pytest.approx(12.3445), 0.0]
    assert claimed("0.5") == [np.nextafter(0.45, 0.0)]
    assert claimed("1e+02", "1.25") == [pytest.approx(99.5), pytest.approx(1.245)]


def test_radii_printed_as_whole_floats_lose_at_most_one_step() -> None:
    values = (0.1, 1 / 3, 2 / 3, 0.3828141, 3.809, 0.30000000000000004)
    for value, lower in zip(values, claimed(*map(repr, values)), strict=True):
        assert np.nextafter(value, 0.0) <= lower <= value


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("0.36", "0.357", "0.0"), "3 significant digits"),
        (("0.360", "12.345", "0.0"), "3 decimals"),
        (("0.3333333333333333", "0.25"), "16 significant digits"),
        (("0.0",), "1 significant digits"),
    ],
)
def test_precision_in_words(texts: tuple[str, ...], expected: str) -> None:
    assert precision_text(*texts) == expected


@pytest.mark.parametrize("text", ["", "-0.1", "nan", "inf", "0.1.2", "1_0", ".", "1e999", "0x1", "٣", "1e6", " 1"])
def test_texts_that_are_not_radii(text: str) -> None:
    assert parse_radius(text) is None
