"""Who is at work on a run: one process at a time, until it ends, dies, or was not heard of for a minute.

What nobody else can see, such as a process that hangs, is told by the clock alone: the server's, or, as all who open a
SQLite file share one, this machine's.
"""

import os
import secrets
import socket
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import Connection, Row, delete, insert, select, text, update

from rsbench.errors import IncompleteError
from rsbench.records import ClaimRecord
from rsbench.store import tables as t

# Seconds after which a claim that was not renewed is nobody's.
EXPIRY = 60.0
# Seconds between two renewals: some may fail.
RENEWAL = 15.0

# Holders of this process that could not give back what they had.
_ENDED: set[str] = set()


def new_holder() -> str:
    """A name that nobody else has: host:process:token."""
    return f"{socket.gethostname()}:{os.getpid()}:{_numbering()}-{secrets.token_hex(8)}"


def disown(holder: str) -> None:
    """Let this process take what a holder of its own had and could not give back."""
    _ENDED.add(holder)


def take(connection: Connection, run_id: int, holder: str) -> None:
    """Claim a run, within `registering`. Raises IncompleteError, which says whose it is, when it is taken."""
    claim = t.run_claim
    of_run = claim.c.run_id == run_id
    known = connection.execute(select(claim).where(of_run).with_for_update()).one_or_none()
    now = _clock(connection)
    if known is None:
        connection.execute(insert(claim).values(run_id=run_id, holder=holder, since=now, expires_at=now + EXPIRY))
    elif known.holder == holder:
        connection.execute(update(claim).where(of_run).values(expires_at=now + EXPIRY))
    elif _is_alive(known, now):
        raise IncompleteError(
            f"run {_name(connection, run_id)} is being certified by {_told(known)}: let that finish, or end it and "
            "run the same command again"
        )
    else:
        connection.execute(update(claim).where(of_run).values(holder=holder, since=now, expires_at=now + EXPIRY))


def confirm(connection: Connection, run_id: int, holder: str) -> None:
    """Renew the claim of one who is about to write, and let nobody take it until the transaction ends.

    A claim that expired and that nobody took meanwhile, as when a laptop slept, is still its holder's.
    Raises IncompleteError when it is not.
    """
    claim = t.run_claim
    of_run = claim.c.run_id == run_id
    renewed = update(claim).where(of_run, claim.c.holder == holder).values(expires_at=_clock(connection) + EXPIRY)
    if connection.execute(renewed).rowcount != 1:
        known = connection.execute(select(claim).where(of_run)).one_or_none()
        other = "another process, which has ended" if known is None else _told(known)
        raise IncompleteError(
            f"run {_name(connection, run_id)} was taken over by {other}, as this process was not heard of for "
            f"{EXPIRY:.0f} s: it writes nothing more, and the same command resumes"
        )


def renew_all(connection: Connection, holder: str) -> None:
    """Renew what a holder has."""
    claim = t.run_claim
    connection.execute(update(claim).where(claim.c.holder == holder).values(expires_at=_clock(connection) + EXPIRY))


def release(connection: Connection, holder: str, run_id: int | None = None) -> None:
    """Give back the claim of a run, or of all."""
    claim = t.run_claim
    held = claim.c.holder == holder
    connection.execute(delete(claim).where(held if run_id is None else held & (claim.c.run_id == run_id)))


def claim_of(connection: Connection, run_id: int) -> ClaimRecord | None:
    """Who is at work on a run, None when nobody is."""
    known = connection.execute(select(t.run_claim).where(t.run_claim.c.run_id == run_id)).one_or_none()
    if known is None or not _is_alive(known, _clock(connection)):
        return None
    host, process, _ = known.holder.rsplit(":", 2)
    return ClaimRecord(host, int(process), datetime.fromtimestamp(known.since, UTC).isoformat(timespec="seconds"))


def _clock(connection: Connection) -> float:
    """Seconds since 1970 by the clock that all who write to this database share."""
    if connection.dialect.name == "postgresql":
        return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)
    return time.time()


def _is_alive(claim: Row[*tuple[Any, ...]], now: float) -> bool:
    host, process, token = claim.holder.rsplit(":", 2)
    visible = host == socket.gethostname() and token.startswith(f"{_numbering()}-")
    return claim.expires_at > now and claim.holder not in _ENDED and (not visible or _runs(int(process)))


def _runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _numbering() -> str:
    """What tells this system's process numbers from those of another machine or container of the same name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return f"{boot}.{Path('/proc/self/ns/pid').stat().st_ino:x}"
    except OSError:
        return f"{uuid.getnode():x}"


def _name(connection: Connection, run_id: int) -> str:
    run = t.certification_run
    return str(connection.scalar(select(run.c.fingerprint).where(run.c.id == run_id)))[:12]


def _told(claim: Row[*tuple[Any, ...]]) -> str:
    host, process, _ = claim.holder.rsplit(":", 2)
    return f"process {process} on {host} since {datetime.fromtimestamp(claim.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
