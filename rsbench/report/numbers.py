"""Numbers as text for people. Certified accuracies and radii are never rounded up."""

import math
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from rsbench.errors import UsageError
from rsbench.theory.rounding import floor_decimal, radius_threshold

DEFAULT_RADII = "0.25, 0.5, 1"


def split_radii(text: str) -> tuple[str, ...]:
    """Return the radii of a list between commas, as typed. Raises UsageError as `checked_radii` does."""
    return checked_radii([part.strip() for part in text.split(",") if part.strip()])


def checked_radii(radii: Sequence[str]) -> tuple[str, ...]:
    """Return radii as typed, without duplicates. Raises UsageError when one is not a number ≥ 0, or there is none."""
    if not radii:
        raise UsageError("no radius given: give at least one, such as 0.5,1")
    try:
        values = [radius_threshold(text) for text in radii]
    except ValueError as error:
        raise UsageError(str(error)) from error
    first_text = dict(reversed(list(zip(values, radii, strict=True))))
    return tuple(dict.fromkeys(first_text[value] for value in values))


def thresholds(radii: Sequence[str]) -> list[float]:
    """Return radii as floats that do not exceed what was typed. Raises UsageError as `checked_radii` does."""
    return [radius_threshold(text) for text in checked_radii(radii)]


def percent_down(share: float, digits: int = 1) -> str:
    """Return a share in percent, rounded down: 0.8567 → "85.6".

    `share` must be the float nearest to an exact ratio. If the ratio has a short decimal form, so has the float: 29 of
    100 gives "29.0", although the float is slightly below 0.29.
    """
    exact = Decimal(repr(float(share))) * 100
    return str(exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_FLOOR))


def spread_text(spread: float) -> str:
    """Return a spread in percentage points, to the nearest tenth."""
    return f"± {100.0 * spread:.1f}"


def radius_text(radius: float) -> str:
    """Return a radius with three decimals, rounded down; ∞ if no perturbation changes the class."""
    return "∞" if math.isinf(radius) else floor_decimal(radius, 3)


def json_number(value: float) -> float | str:
    """Return a number for JSON, which has no infinite numbers: these become "Infinity"."""
    return "Infinity" if math.isinf(value) else value


def difference_text(difference: Fraction, digits: int) -> str:
    """Return a difference with its sign and so many decimals, rounded down, so that no gain is overstated."""
    unit = 10**digits
    text = str(Decimal(math.floor(difference * unit)).scaleb(-digits))
    return text.replace("-", "−") if difference < 0 else f"+{text}" if difference > 0 else "0"


def count_text(number: int, noun: str) -> str:
    """Return a number with its noun, as in `1 run` or `1,000 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def time_text(seconds: float) -> str:
    """Return a time with suitable units: 12.3 s, 45 min, 6 h 7 min."""
    if seconds < 120:
        return f"{seconds:,.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def sigma_text(sigma: float) -> str:
    """Return σ with as few digits as possible."""
    return f"{sigma:g}"


def budget_text(n_select: int | None, n_estimate: int | None, failure_probability: float | None) -> str:
    """Return `n0 100 · n 1,000 · α 0.001`, without n0 if it is unknown; `exact` if every split is evaluated."""
    if n_estimate is None or failure_probability is None:
        return "exact"
    selected = "" if n_select is None else f"n0 {n_select:,} · "
    return f"{selected}n {n_estimate:,} · α {failure_probability:g}"


def seed_text(seed: int | None) -> str:
    """Return a seed, or a dash if it is unknown."""
    return "–" if seed is None else str(seed)


def plain_markdown(text: str) -> str:
    """Escape text for Markdown, so that names from files and addresses are shown as they are."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!^$~|<>:&" else c for c in text)
