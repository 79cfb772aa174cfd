"""Numbers as text, and text as it is. What is shown of a certified accuracy or a radius is never rounded up."""

import math
from collections.abc import Sequence
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction

from rsbench.errors import UsageError
from rsbench.theory.rounding import floor_decimal, radius_threshold

DEFAULT_RADII = "0.25, 0.5, 1"


def split_radii(text: str) -> tuple[str, ...]:
    """The radii of a list between commas, as typed. Raises UsageError when it is empty or holds anything else."""
    return checked_radii([part.strip() for part in text.split(",") if part.strip()])


def checked_radii(radii: Sequence[str]) -> tuple[str, ...]:
    """The radii without repetitions, in their order. Raises UsageError when one is no number ≥ 0, or there is none."""
    if not radii:
        raise UsageError("no radius given: name at least one, as in 0.5,1")
    try:
        thresholds = [radius_threshold(text) for text in radii]
    except ValueError as error:
        raise UsageError(str(error)) from error
    first_of_value = dict(reversed(list(zip(thresholds, radii, strict=True))))
    return tuple(dict.fromkeys(first_of_value[threshold] for threshold in thresholds))


def thresholds(radii: Sequence[str]) -> list[float]:
    """The radii as floats that do not exceed them. Raises UsageError where `checked_radii` does."""
    return [radius_threshold(text) for text in checked_radii(radii)]


def percent_down(share: float, digits: int = 1) -> str:
    """A share in percent, rounded down: 0.8567 → "85.6".

    `share` must be the float nearest to an exact ratio; its shortest decimal form is then exact where the ratio has a
    short one, so that 29 of 100 is 29.0 although the float lies below it.
    """
    exact = Decimal(repr(float(share))) * 100
    return str(exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_FLOOR))


def spread_text(spread: float) -> str:
    """A spread in percentage points, to the nearest tenth."""
    return f"± {100.0 * spread:.1f}"


def radius_text(radius: float) -> str:
    """A radius with three decimals, rounded down; ∞ where no image can change the class."""
    return "∞" if math.isinf(radius) else floor_decimal(radius, 3)


def json_number(value: float) -> float | str:
    """Return a number for JSON, which has no infinite numbers: these become "Infinity"."""
    return "Infinity" if math.isinf(value) else value


def difference_text(difference: Fraction, digits: int) -> str:
    """A difference with its sign and so many decimals, rounded down: a gain is never overstated."""
    unit = 10**digits
    text = str(Decimal(math.floor(difference * unit)).scaleb(-digits))
    return text.replace("-", "−") if difference < 0 else f"+{text}" if difference > 0 else "0"


def count_text(number: int, noun: str) -> str:
    """`1 run`, `1,000 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def time_text(seconds: float) -> str:
    """A time as exactly as a reader wants it: 12.3 s, 45 min, 6 h 7 min."""
    if seconds < 120:
        return f"{seconds:,.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60:,} h {minutes % 60} min"


def sigma_text(sigma: float) -> str:
    """σ as short as it can be told."""
    return f"{sigma:g}"


def budget_text(n_select: int | None, n_estimate: int | None, failure_probability: float | None) -> str:
    """`n0 100 · n 1,000 · α 0.001`, without n0 where it is unknown; `exact` where every noisy copy is visited."""
    if n_estimate is None or failure_probability is None:
        return "exact"
    selected = "" if n_select is None else f"n0 {n_select:,} · "
    return f"{selected}n {n_estimate:,} · α {failure_probability:g}"


def seed_text(seed: int | None) -> str:
    """A seed, or a dash where it is unknown."""
    return "–" if seed is None else str(seed)


def plain_markdown(text: str) -> str:
    """Markdown that shows `text` character by character, whatever a file, a name or an address holds."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!^$~|<>:&" else c for c in text)
