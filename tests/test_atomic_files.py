"""Files that are written completely or not at all."""

from pathlib import Path

import pytest

from rsbench.atomic_files import write_atomically


def test_a_file_is_replaced_completely(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    write_atomically(file, b"first")
    write_atomically(file, b"second")
    assert file.read_bytes() == b"second"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "folder.csv"
    folder.mkdir()
    with pytest.raises(OSError, match=r"folder\.csv"):
        write_atomically(folder, b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]
