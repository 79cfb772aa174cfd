"""Numbers as text."""

import pytest

from rsbench.report.numbers import time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0.0 s"), (119.94, "119.9 s"), (120.0, "2 min"), (7169.0, "119 min"), (7200.0, "2 h 0 min"),
     (3_600_000.0 + 61, "1,000 h 1 min")],
)  # fmt: skip
def test_a_time_has_suitable_units(seconds: float, text: str) -> None:
    assert time_text(seconds) == text
