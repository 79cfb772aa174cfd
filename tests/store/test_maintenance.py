"""`rsbench db upgrade` keeps a way back: an older file is copied before it is changed."""

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
from rsbench.store.engine import head_revision
from rsbench.store.maintenance import bring_up_to_date, revisions

OLD = Path(__file__).parent / "released" / "0001.db"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A file of an older revision."""
    return Path(shutil.copy(OLD, tmp_path / "results.db"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that holds a file of an older revision, and no second one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def rows(file: Path) -> dict[str, list[tuple[object, ...]]]:
    """All that a database holds."""
    with closing(sqlite3.connect(file)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
        return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for (name,) in tables}  # noqa: S608


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_older_file_is_copied_whole_before_it_is_upgraded(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old.chmod(0o600)
    assert run(["db", "upgrade", "--db", str(old)]) == 0
    backup = old.with_name("results.db.0001.backup")
    assert capsys.readouterr().out.splitlines() == [
        f"{old}: now at revision {head_revision()}",
        f"{backup}: the database as it was at revision 0001",
    ]
    assert rows(backup) == rows(OLD)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert names(old.parent) == ["results.db", "results.db.0001.backup"]
    # The way back that the documentation names.
    backup.replace(old)
    assert revisions(str(old))[0] == "0001"


def test_what_a_write_ahead_log_still_holds_is_copied_too(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE checkpoint SET path = 'moved'")
        connection.commit()
        assert old.with_name("results.db-wal").stat().st_size > 0
        done = bring_up_to_date(str(old))
    assert done.backup is not None
    with closing(sqlite3.connect(done.backup)) as copy:
        assert copy.execute("SELECT DISTINCT path FROM checkpoint").fetchall() == [("moved",)]


def test_no_copy_is_ever_overwritten(old: Path) -> None:
    kept = [old.with_name(f"results.db.0001{number}.backup") for number in ("", "-2")]
    for file in kept:
        file.write_text("an earlier copy")
    # What a copy that broke off has left is nobody's.
    old.with_name("results.db.0001.partial").write_text("half a copy")
    assert bring_up_to_date(str(old)).backup == old.with_name("results.db.0001-3.backup")
    assert [file.read_text() for file in kept] == ["an earlier copy"] * 2
    assert names(old.parent) == ["results.db", *sorted(["results.db.0001-3.backup", *(file.name for file in kept)])]


def test_nothing_is_copied_where_nothing_is_upgraded(tmp_path: Path) -> None:
    file = tmp_path / "results.db"
    assert bring_up_to_date(str(file)).before is None
    again = bring_up_to_date(str(file))
    assert (again.before, again.backup) == (head_revision(), None)
    assert names(tmp_path) == ["results.db"]


def test_a_disk_too_full_for_the_copy_is_one_line_and_changes_nothing(
    small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = Path(shutil.copy(OLD, small_disk / "results.db"))
    assert run(["db", "upgrade", "--db", str(file)]) == 1
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    assert f"{file} could not be copied before its upgrade" in line
    assert "nothing was changed; make room beside it" in line
    assert names(small_disk) == ["results.db"]
    assert file.read_bytes() == OLD.read_bytes()


@pytest.mark.slow
def test_an_upgrade_waits_for_who_writes_and_says_so(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("UPDATE checkpoint SET path = 'moved'")
        with pytest.raises(StoreError, match="locked: another process holds it"):
            bring_up_to_date(str(old))
    assert names(old.parent) == ["results.db"]


def test_a_server_database_is_not_copied(postgresql: str) -> None:
    assert bring_up_to_date(postgresql).backup is None
