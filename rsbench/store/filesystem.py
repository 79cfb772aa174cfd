"""Which file system a SQLite file lies on: one that other machines share is refused unless the user insists."""

import os
from collections.abc import Iterable
from pathlib import Path

import psutil

from rsbench.errors import StoreError
from rsbench.store.location import Location, parse_location

INSIST = "RSBENCH_NETWORK_FILESYSTEM"

# The write-ahead log needs memory that all who open the file share, and locks that all of them see. Across machines
# there is no such memory, and such locks only now and then: the file is damaged without an error. The last line are
# folders that a host shares with its virtual machines and containers, 9p among them: the kernel beneath caches for
# itself, and write-ahead logs on WSL's, gVisor's and Docker Desktop's were damaged so, even by one machine alone.
# Names are as Linux and macOS tell them, without the prefix "fuse.".
NETWORK_TYPES = {
    "nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "afpfs", "afs", "coda", "ncpfs", "sshfs", "davfs", "webdav",
    "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "beegfs_nodev", "pvfs2", "orangefs", "panfs", "wekafs", "juicefs",
    "mfs", "lizardfs", "ocfs2", "gfs2", "s3fs", "mount-s3", "gcsfuse", "goofys", "rclone", "blobfuse", "blobfuse2",
    "9p", "virtiofs", "vboxsf", "vmhgfs", "vmhgfs-fuse", "prl_fs", "grpcfuse", "osxfs",
}  # fmt: skip


def usable_location(text: str) -> Location:
    """The location of a path or a URL. Raises UsageError where `parse_location` does.

    Raises StoreError when it is a file on a network file system, unless RSBENCH_NETWORK_FILESYSTEM is 1.
    """
    where = parse_location(text)
    kind = None if where.file is None else network_type(where.file)
    if kind is not None and os.environ.get(INSIST) != "1":
        raise StoreError(
            f"{where.name} is on a network file system ({kind}), where SQLite can damage it: give a local path or a "
            f"PostgreSQL URL with --db, or set {INSIST}=1 when only one machine ever opens it"
        )
    return where


def network_type(file: Path) -> str | None:
    """The type of the file system that holds a file, when it is a network file system, else None."""
    # Resolved first: that is what mounts a folder that is mounted when it is touched.
    kind = filesystem_type(file.resolve(), mounts())
    return kind if kind in NETWORK_TYPES else None


def mounts() -> Iterable[tuple[str, str]]:
    """Where file systems are mounted, and their types, in the order of mounting."""
    return ((partition.mountpoint, partition.fstype) for partition in psutil.disk_partitions(all=True))


def filesystem_type(path: Path, mounted: Iterable[tuple[str, str]]) -> str | None:
    """The type of the file system that holds a resolved path, there or not; None when no mount is known."""
    found: tuple[int, str] | None = None
    for point, kind in mounted:
        # Of two mounts on one folder, the later one hides the earlier.
        if path.is_relative_to(point) and (found is None or len(point) >= found[0]):
            found = len(point), kind
    return None if found is None else found[1].removeprefix("fuse.")
