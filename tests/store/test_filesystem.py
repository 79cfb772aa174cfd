"""A SQLite file on a file system of other machines is refused, and what the user must know is said."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rsbench.cli.main import run
from rsbench.errors import StoreError
from rsbench.jobs.doctor import examine_database
from rsbench.store import filesystem
from rsbench.store.filesystem import INSIST, NETWORK_TYPES, filesystem_type
from rsbench.store.maintenance import bring_up_to_date, revisions
from rsbench.store.store import Store
from tests.fixtures.commands import refused
from tests.fixtures.foreign_filesystem import Mount

LOOKS = (Store.create_or_open, Store.open_existing, Store.look_into, bring_up_to_date, revisions)
MOUNTED = [
    ("/", "overlay"),
    ("/proc", "proc"),
    ("/home", "autofs"),
    ("/home", "nfs4"),
    ("/home/me/fast", "xfs"),
    ("/home/me/far", "fuse.sshfs"),
    ("/tmp", "tmpfs"),  # noqa: S108 - only a name
]


@pytest.fixture
def nfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the system says is NFS."""
    folder = tmp_path / "nfs"
    folder.mkdir()
    monkeypatch.setattr(filesystem, "mounts", lambda: [("/", "ext4"), (str(folder), "nfs4")])
    return folder


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/results.db", "overlay"),
        ("/homework/results.db", "overlay"),
        ("/home/me/results.db", "nfs4"),
        ("/home/me/fast/deep/results.db", "xfs"),
        ("/home/me/faster/results.db", "nfs4"),
        ("/home/me/far/results.db", "sshfs"),
        ("/tmp/results.db", "tmpfs"),  # noqa: S108
    ],
)
def test_the_deepest_and_latest_mount_holds_a_path(path: str, kind: str) -> None:
    assert filesystem_type(Path(path), MOUNTED) == kind
    assert (kind in NETWORK_TYPES) == (kind in ("nfs4", "sshfs"))


def test_a_system_that_tells_no_mounts_is_trusted() -> None:
    assert filesystem_type(Path("/results.db"), []) is None


def test_this_systems_own_disk_is_used(tmp_path: Path) -> None:
    assert filesystem_type(tmp_path, filesystem.mounts()) is not None
    Store.create_or_open(str(tmp_path / "results.db")).close()


@pytest.mark.parametrize("look", LOOKS)
def test_a_file_on_a_network_file_system_is_refused_and_nothing_is_made(
    look: Callable[[str], object], nfs: Path
) -> None:
    with pytest.raises(StoreError) as error:
        look(str(nfs / "deep" / "results.db"))
    line = str(error.value)
    assert "\n" not in line
    for told in (str(nfs / "deep" / "results.db"), "nfs4", "--db", "PostgreSQL", f"{INSIST}=1"):
        assert told in line
    assert list(nfs.iterdir()) == []


def test_a_link_to_a_network_file_system_is_one(nfs: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(nfs)
    with pytest.raises(StoreError, match="nfs4"):
        Store.create_or_open(str(tmp_path / "link" / "results.db"))


def test_who_insists_gets_a_store_without_a_write_ahead_log(nfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = nfs / "results.db"
    monkeypatch.setenv(INSIST, "1")
    with Store.create_or_open(str(file)) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    finding = examine_database(str(file))
    assert finding.works
    assert "network file system (nfs4)" in finding.message
    monkeypatch.setenv(INSIST, "yes")
    with pytest.raises(StoreError, match=f"{INSIST}=1"):
        Store.open_existing(str(file))


def test_an_upgrade_takes_the_write_ahead_log_from_a_file_that_was_copied_there(
    nfs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.create_or_open(str(tmp_path / "results.db")) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    (tmp_path / "results.db").rename(nfs / "results.db")
    monkeypatch.setenv(INSIST, "1")
    bring_up_to_date(str(nfs / "results.db"))
    with Store.open_existing(str(nfs / "results.db")) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


def test_a_real_mount_of_another_machines_type_is_refused(
    foreign_filesystem: Mount, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = foreign_filesystem("fuse.sshfs") / "results.db"
    for command in (
        "leaderboard",
        "db current",
        "db upgrade",
        "sweep --method dssn --dry-run",
        "certify --dataset digits",
    ):
        assert f"{file} is on a network file system (sshfs)" in refused(f"{command} --db {file}", capfd, code=1)
    finding = examine_database(str(file))
    assert finding.works is False
    assert "sshfs" in finding.message
    # A type that is nobody else's is none of rsbench's business.
    local = foreign_filesystem("fuse.mergerfs") / "results.db"
    assert run(["db", "current", "--db", str(local)]) == 2
    assert "no database at" in capfd.readouterr().err
