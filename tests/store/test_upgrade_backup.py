"""`rsbench db upgrade` copies a SQLite file of an older revision before it changes it."""

import shutil
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rsbench.cli.main import run
from rsbench.errors import StoreError
from rsbench.store.revisions import database_revision, head_revision, upgrade_database

RELEASED_FILE = Path(__file__).parent / "released" / "0001.db"


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    """A database of the first revision."""
    return Path(shutil.copy(RELEASED_FILE, tmp_path / "results.db"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for the database of the first revision, but not for a copy of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def all_rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return the rows of every table by its name."""
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}  # noqa: S608


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_old_file_is_copied_before_the_upgrade(old_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old_file.chmod(0o600)
    assert run(["db", "upgrade", "--db", str(old_file)]) == 0
    backup = old_file.with_name("results.db.0001.backup")
    assert capsys.readouterr().out.splitlines() == [
        f"{old_file}: now at revision {head_revision()}",
        f"{backup}: the database as it was at revision 0001",
    ]
    assert all_rows(backup) == all_rows(RELEASED_FILE)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert file_names(old_file.parent) == ["results.db", "results.db.0001.backup"]
    # The documentation says that putting the copy back undoes the upgrade.
    backup.replace(old_file)
    assert database_revision(str(old_file)) == "0001"


def test_copy_includes_rows_that_are_only_in_the_write_ahead_log(old_file: Path) -> None:
    with closing(sqlite3.connect(old_file)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE checkpoint SET path = 'moved'")
        connection.commit()
        assert old_file.with_name("results.db-wal").stat().st_size > 0
        result = upgrade_database(str(old_file))
    assert result.backup is not None
    with closing(sqlite3.connect(result.backup)) as copy:
        assert copy.execute("SELECT DISTINCT path FROM checkpoint").fetchall() == [("moved",)]


def test_earlier_copies_are_never_overwritten(old_file: Path) -> None:
    earlier = [old_file.with_name(f"results.db.0001{number}.backup") for number in ("", "-2")]
    for file in earlier:
        file.write_text("an earlier copy")
    # An interrupted upgrade leaves a partial copy, which may be overwritten.
    old_file.with_name("results.db.0001.partial").write_text("half a copy")
    assert upgrade_database(str(old_file)).backup == old_file.with_name("results.db.0001-3.backup")
    assert [file.read_text() for file in earlier] == ["an earlier copy"] * 2
    assert file_names(old_file.parent) == [
        "results.db",
        *sorted(["results.db.0001-3.backup", *(file.name for file in earlier)]),
    ]


def test_database_at_the_head_revision_is_not_copied(tmp_path: Path) -> None:
    file = tmp_path / "results.db"
    assert upgrade_database(str(file)).before is None
    again = upgrade_database(str(file))
    assert (again.before, again.backup) == (head_revision(), None)
    assert file_names(tmp_path) == ["results.db"]


def test_disk_without_room_for_the_copy_leaves_the_file_unchanged(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = Path(shutil.copy(RELEASED_FILE, small_disk / "results.db"))
    assert run(["db", "upgrade", "--db", str(file)]) == 1
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    assert f"{file} could not be copied before its upgrade" in line
    assert "nothing was changed; free space beside it" in line
    assert file_names(small_disk) == ["results.db"]
    assert file.read_bytes() == RELEASED_FILE.read_bytes()


@pytest.mark.slow
def test_upgrade_waits_for_a_writer_and_then_names_the_lock(old_file: Path) -> None:
    with closing(sqlite3.connect(old_file)) as connection:
        connection.execute("UPDATE checkpoint SET path = 'moved'")
        with pytest.raises(StoreError, match="locked: another process holds it"):
            upgrade_database(str(old_file))
    assert file_names(old_file.parent) == ["results.db"]


def test_postgresql_database_is_not_copied(postgresql: str) -> None:
    assert upgrade_database(postgresql).backup is None
