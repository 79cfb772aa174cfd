"""Where a store is: parsing a path or URL, and refusing SQLite files on network file systems."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from rsbench.errors import StoreError, UsageError

_FORMS = "give a path, sqlite:///FILE or postgresql://USER@HOST/NAME"

ALLOW_NETWORK_VARIABLE = "RSBENCH_NETWORK_FILESYSTEM"
"""Environment variable that allows a SQLite file on a network file system when it is "1"."""

# SQLite's write-ahead log needs memory and locks that all processes which open the file share. Network file systems do
# not provide them across machines, and the file is damaged without an error. The last line of the set lists folders
# that a host shares with its virtual machines and containers: host and guest cache pages independently, and write-ahead
# logs on the shared folders of WSL, gVisor and Docker Desktop were damaged even with a single machine.
# The names are those of Linux and macOS, without the prefix "fuse.".
NETWORK_FILESYSTEMS = {
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afpfs", "afs", "coda", "ncpfs", "sshfs", "davfs", "webdav",
    "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "beegfs_nodev", "pvfs2", "orangefs", "panfs", "wekafs", "juicefs",
    "mfs", "lizardfs", "ocfs2", "gfs2", "s3fs", "mount-s3", "gcsfuse", "goofys", "rclone", "blobfuse", "blobfuse2",
    "9p", "virtiofs", "vboxsf", "vmhgfs", "vmhgfs-fuse", "prl_fs", "grpcfuse", "osxfs",
}  # fmt: skip


@dataclass(frozen=True)
class Location:
    """A SQLite file or a PostgreSQL database, as a SQLAlchemy URL."""

    url: URL

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for PostgreSQL."""
        return Path(str(self.url.database)) if self.url.get_backend_name() == "sqlite" else None

    @property
    def name(self) -> str:
        """The location as messages print it: the file, or the URL without password and parameters."""
        return url_name(self.url)


def url_name(url: URL) -> str:
    """Return a database's URL as messages print it: without password and parameters, and a file as its path."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    public = URL.create("postgresql", username=url.username, host=url.host, port=url.port, database=url.database)
    return public.render_as_string()


def location_name(text: str) -> str:
    """Return a location given by the user as messages print it. Raises UsageError as `parse_location` does."""
    return parse_location(text).name


def parse_location(text: str) -> Location:
    """Return the location that a path or URL names.

    Raises UsageError when `text` is neither. The message never repeats the URL, which may contain a password.
    """
    if text == ":memory:":
        raise UsageError(":memory: loses all results when the command ends: give a file with --db")
    if "://" not in text:
        return Location(URL.create("sqlite", database=text))
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"--db is not a valid URL: {_FORMS}") from error
    if backend == "sqlite" and url.database:
        return Location(URL.create("sqlite", database=url.database))
    if backend in ("postgresql", "postgres") and url.database:
        return Location(url.set(drivername="postgresql+psycopg"))
    if backend in ("sqlite", "postgresql", "postgres"):
        raise UsageError(f"the {backend} URL names no database: {_FORMS}")
    raise UsageError(f"{backend} databases are not supported: {_FORMS}")


def usable_location(text: str) -> Location:
    """Return the location that a path or URL names, if a store may be opened there.

    Raises UsageError as `parse_location` does, and StoreError for a SQLite file on a network file system, unless the
    environment variable RSBENCH_NETWORK_FILESYSTEM is 1.
    """
    location = parse_location(text)
    network_type = None if location.file is None else network_filesystem_type(location.file)
    if network_type is not None and os.environ.get(ALLOW_NETWORK_VARIABLE) != "1":
        raise StoreError(
            f"{location.name} is on a network file system ({network_type}), where SQLite can damage it: give a local "
            f"path or a PostgreSQL URL with --db, or set {ALLOW_NETWORK_VARIABLE}=1 if only one machine ever opens it"
        )
    return location


def network_filesystem_type(file: Path) -> str | None:
    """Return the type of the file system that holds a file if it is a network file system, else None."""
    # Resolving the path accesses its folders, which makes an automounter mount them.
    filesystem = filesystem_type(file.resolve(), mounted_filesystems())
    return filesystem if filesystem in NETWORK_FILESYSTEMS else None


def mounted_filesystems() -> Iterable[tuple[str, str]]:
    """Return mount point and type of every mounted file system, in the order of mounting."""
    return ((partition.mountpoint, partition.fstype) for partition in psutil.disk_partitions(all=True))


def filesystem_type(path: Path, mounts: Iterable[tuple[str, str]]) -> str | None:
    """Return the type of the file system that holds a resolved path, which need not exist.

    mounts: mount point and type of each file system, in the order of mounting. Returns None if none of them holds it.
    """
    longest_point, longest_type = "", None
    for mount_point, mount_type in mounts:
        # If two file systems are mounted on the same folder, the later one hides the earlier one.
        if path.is_relative_to(mount_point) and len(mount_point) >= len(longest_point):
            longest_point, longest_type = mount_point, mount_type.removeprefix("fuse.")
    return longest_type
