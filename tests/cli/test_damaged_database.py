"""A database that is damaged or may not be written: one line, exit code 1, and no traceback."""

import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rsbench.cli.main import run
from rsbench.jobs.doctor import examine_database
from rsbench.store.store import Store
from tests.fixtures.commands import refused
from tests.fixtures.results import DIGITS, write_run

PAGE = 4096


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, str]:
    """A file with a sealed run of several hundred pages, and the run's name."""
    file = tmp_path / "results.db"
    with Store.create_or_open(str(file)) as store:
        spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:445:1", count=445)
    return file, spec.fingerprint()


@pytest.fixture
def read_only(written: tuple[Path, str]) -> Iterator[tuple[Path, str]]:
    """The same, and nobody may write to the file; its folder may be written."""
    file, _ = written
    for options in (["--bind", str(file)], ["-o", "remount,bind,ro"]):
        if subprocess.run(["mount", *options, str(file)], capture_output=True).returncode != 0:
            pytest.skip("only root can make a file that root may not write")
    yield written
    subprocess.run(["umount", str(file)], check=True)


def pages_of(file: Path, table: str) -> list[int]:
    """The pages that hold a table, counted from 0."""
    with closing(sqlite3.connect(file)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
    content = file.read_bytes()
    pages = [root - 1]
    # An interior page of a table or of an index tells its children: their numbers begin its cells, and one its end.
    for page in pages:
        start = page * PAGE
        if content[start] in (2, 5):
            cells = int.from_bytes(content[start + 3 : start + 5], "big")
            at = [int.from_bytes(content[p : p + 2], "big") for p in range(start + 12, start + 12 + 2 * cells, 2)]
            children = [start + 8, *(start + cell for cell in at)]
            pages += [int.from_bytes(content[child : child + 4], "big") - 1 for child in children]
    return pages


def overwrite(file: Path, page: int, content: bytes = b"\xa5" * PAGE) -> None:
    with file.open("r+b") as opened:
        opened.seek(page * PAGE)
        opened.write(content)


def commands(file: Path, name: str) -> list[str]:
    return [f"{command} --db {file}" for command in ("leaderboard", f"show {name[:12]}", f"show {name[:12]} --images")]


@pytest.mark.parametrize("kept", [PAGE + 1, 5 * PAGE, 10 * PAGE + 100])
def test_a_truncated_file_is_damaged(
    kept: int, written: tuple[Path, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, name = written
    file.write_bytes(file.read_bytes()[:kept])
    for command in (*commands(file, name), f"db upgrade --db {file}", f"certify --dataset digits --db {file}"):
        line = refused(command, capfd, code=1)
        assert f"{file}: " in line
        assert "the file is damaged; restore a copy, or give another file with --db" in line
    finding = examine_database(str(file))
    assert finding.works is False
    assert "damaged" in finding.message


@pytest.mark.parametrize("table", ["certification_run", "certified_curve", "dataset", "alembic_version"])
def test_overwritten_pages_are_damage(
    table: str, written: tuple[Path, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, name = written
    for page in pages_of(file, table):
        overwrite(file, page)
    for command in commands(file, name):
        assert "the file is damaged" in refused(command, capfd, code=1)


def test_damage_that_only_the_images_have_is_told_when_they_are_asked_for(
    written: tuple[Path, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, name = written
    pages = pages_of(file, "image_result")
    assert len(pages) > 3
    overwrite(file, pages[len(pages) // 2])
    assert "the file is damaged" in refused(f"show {name[:12]} --images --db {file}", capfd, code=1)


def test_values_that_a_damaged_page_turned_into_others_are_damage(
    written: tuple[Path, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """SQLite keeps no sum over its values: what it returns is read with care."""
    file, name = written
    content = file.read_bytes()
    for broken in (b'{"device": \xff\xff', b'{"device": no'):
        file.write_bytes(content.replace(b'{"device": "cp', broken))
        assert "the file is damaged" in refused(f"show {name[:12]} --db {file}", capfd, code=1)
    # A bug of ours in the midst of whole data is not blamed on the file.
    file.write_bytes(content)
    with pytest.raises(KeyError), Store.open_existing(str(file)):
        raise KeyError("no such method")


def test_a_file_that_may_not_be_written_is_read_and_nothing_else(
    read_only: tuple[Path, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, name = read_only
    for command in commands(file, name):
        assert run(command.split()) == 0
    capfd.readouterr()
    line = refused(f"sweep --method dssn --workers 0 --images first:10 --epochs 1 --db {file}", capfd, code=1)
    assert f"{file}: attempt to write a readonly database: name a writable file with --db" in line


def test_an_older_file_that_may_not_be_written_says_so(
    read_only: tuple[Path, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = read_only[0].parent
    old = Path(shutil.copy(Path(__file__).parents[1] / "store" / "released" / "0001.db", folder / "old.db"))
    with closing(sqlite3.connect(old)) as connection:
        before = list(connection.iterdump())
    subprocess.run(["mount", "--bind", str(old), str(old)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(old)], check=True)
        assert "readonly database: name a writable file" in refused(f"db upgrade --db {old}", capfd, code=1)
    finally:
        subprocess.run(["umount", str(old)], check=True)
    assert list(folder.glob("old.db.*")) == []
    with closing(sqlite3.connect(old)) as connection:
        assert list(connection.iterdump()) == before
