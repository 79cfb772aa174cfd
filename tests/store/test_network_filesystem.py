"""A SQLite file on a network file system is refused with a message that names the alternatives."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rsbench.cli.main import run
from rsbench.errors import StoreError
from rsbench.jobs.doctor import examine_database
from rsbench.store import location as location_module
from rsbench.store.location import ALLOW_NETWORK_VARIABLE, NETWORK_FILESYSTEMS, filesystem_type
from rsbench.store.revisions import database_revision, upgrade_database
from rsbench.store.store import Store
from tests.fixtures.commands import refused
from tests.fixtures.foreign_filesystem import Mount

OPENING_FUNCTIONS = (
    Store.create_or_open,
    Store.open_existing,
    Store.open_or_empty,
    upgrade_database,
    database_revision,
)
MOUNTS = [
    ("/", "overlay"),
    ("/proc", "proc"),
    ("/home", "autofs"),
    ("/home", "nfs4"),
    ("/home/me/fast", "xfs"),
    ("/home/me/far", "fuse.sshfs"),
    ("/tmp", "tmpfs"),  # noqa: S108 - only a name
]


@pytest.fixture
def nfs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the list of mounts declares to be on NFS."""
    folder = tmp_path / "nfs"
    folder.mkdir()
    monkeypatch.setattr(location_module, "mounted_filesystems", lambda: [("/", "ext4"), (str(folder), "nfs4")])
    return folder


@pytest.mark.parametrize(
    ("path", "expected_type"),
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
def test_deepest_and_then_latest_mount_holds_a_path(path: str, expected_type: str) -> None:
    assert filesystem_type(Path(path), MOUNTS) == expected_type
    assert (expected_type in NETWORK_FILESYSTEMS) == (expected_type in ("nfs4", "sshfs"))


def test_type_is_none_if_the_system_lists_no_mounts() -> None:
    assert filesystem_type(Path("/results.db"), []) is None


def test_local_disk_of_this_machine_is_accepted(tmp_path: Path) -> None:
    assert filesystem_type(tmp_path, location_module.mounted_filesystems()) is not None
    Store.create_or_open(str(tmp_path / "results.db")).close()


@pytest.mark.parametrize("open_database", OPENING_FUNCTIONS)
def test_file_on_a_network_filesystem_is_refused_and_not_created(
    open_database: Callable[[str], object], nfs_folder: Path
) -> None:
    file = nfs_folder / "deep" / "results.db"
    with pytest.raises(StoreError) as error:
        open_database(str(file))
    line = str(error.value)
    assert "\n" not in line
    for part in (str(file), "nfs4", "--db", "PostgreSQL", f"{ALLOW_NETWORK_VARIABLE}=1"):
        assert part in line
    assert list(nfs_folder.iterdir()) == []


def test_symbolic_link_to_a_network_filesystem_is_refused(nfs_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(nfs_folder)
    with pytest.raises(StoreError, match="nfs4"):
        Store.create_or_open(str(tmp_path / "link" / "results.db"))


def test_variable_allows_a_store_without_write_ahead_log(nfs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = nfs_folder / "results.db"
    monkeypatch.setenv(ALLOW_NETWORK_VARIABLE, "1")
    with Store.create_or_open(str(file)) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    finding = examine_database(str(file))
    assert finding.works
    assert "network file system (nfs4)" in finding.message
    monkeypatch.setenv(ALLOW_NETWORK_VARIABLE, "yes")
    with pytest.raises(StoreError, match=f"{ALLOW_NETWORK_VARIABLE}=1"):
        Store.open_existing(str(file))


def test_upgrade_removes_the_write_ahead_log_of_a_file_moved_to_a_network_filesystem(
    nfs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.create_or_open(str(tmp_path / "results.db")) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    (tmp_path / "results.db").rename(nfs_folder / "results.db")
    monkeypatch.setenv(ALLOW_NETWORK_VARIABLE, "1")
    upgrade_database(str(nfs_folder / "results.db"))
    with Store.open_existing(str(nfs_folder / "results.db")) as store, store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


def test_real_mount_of_a_network_type_is_refused(
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
    # Other FUSE file systems are local and accepted, so the command gets as far as looking for the file.
    local_file = foreign_filesystem("fuse.mergerfs") / "results.db"
    assert run(["db", "current", "--db", str(local_file)]) == 2
    assert "there is no database at" in capfd.readouterr().err
