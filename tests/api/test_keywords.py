"""Messages of the commands, as the Python API gives them."""

import pytest

from rsbench.api.keywords import keyword_errors
from rsbench.errors import UsageError


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("--n0 must be at least 1 (got 0)", "n0 must be at least 1 (got 0)"),
        ("--batch-size 0: lower it (--device cpu)", "batch_size 0: lower it (device cpu)"),
        ("name it with --db", "name it with store"),
        ("load the plugin that registers it with --plugin", "load the plugin that registers it with RSBENCH_PLUGINS"),
        ("my--results.db and /tmp/--n are names of files", "my--results.db and /tmp/--n are names of files"),
    ],
)
def test_options_become_keywords_and_values_stay(message: str, expected: str) -> None:
    with pytest.raises(UsageError) as raised, keyword_errors():
        raise UsageError(message)
    assert str(raised.value) == expected
