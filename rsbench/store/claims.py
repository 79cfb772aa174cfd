"""Claims: at most one process at a time works on an open run.

A claim names its holder and expires a minute after its last renewal. It ends early if its holder is a process of this
machine that no longer runs. Processes on other machines, and processes that hang, keep a run until their claim expires.
Times are read from a clock that all writers share: that of the PostgreSQL server, or that of the one machine on which a
SQLite file is opened.
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
from rsbench.store.run_records import run_name

EXPIRY_SECONDS = 60.0
"""Time after the last renewal at which a claim expires."""

RENEWAL_SECONDS = 15.0
"""Time between two renewals, short enough that two in a row may fail."""

# Holders in this process that stopped working but could not delete their claims.
_abandoned_holders: set[str] = set()


def new_holder() -> str:
    """Return a unique name for a holder of claims, host:process:token, where token starts with `_process_namespace`."""
    return f"{socket.gethostname()}:{os.getpid()}:{_process_namespace()}-{secrets.token_hex(8)}"


def abandon(holder: str) -> None:
    """Let other holders in this process take over the claims that `holder` could not release."""
    _abandoned_holders.add(holder)


def take(connection: Connection, run_id: int, holder: str) -> None:
    """Claim a run, in a `registration_transaction`.

    Raises IncompleteError, which names the other holder, when somebody else holds a live claim.
    """
    table = t.run_claim
    is_this_run = table.c.run_id == run_id
    claim = connection.execute(select(table).where(is_this_run).with_for_update()).one_or_none()
    now = _shared_clock(connection)
    expires_at = now + EXPIRY_SECONDS
    if claim is None:
        connection.execute(insert(table).values(run_id=run_id, holder=holder, since=now, expires_at=expires_at))
    elif claim.holder == holder:
        connection.execute(update(table).where(is_this_run).values(expires_at=expires_at))
    elif _is_alive(claim, now):
        raise IncompleteError(
            f"{run_name(connection, run_id)} is being certified by {_holder_text(claim)}: wait for that "
            "process, or stop it, then run the same command again"
        )
    else:
        connection.execute(update(table).where(is_this_run).values(holder=holder, since=now, expires_at=expires_at))


def confirm(connection: Connection, run_id: int, holder: str) -> None:
    """Renew the claim of a holder that is about to write. Nobody can take the run before the transaction ends.

    A claim that expired, for example while a laptop slept, still counts if nobody took the run since.
    Raises IncompleteError when the holder no longer has the claim.
    """
    table = t.run_claim
    is_this_run = table.c.run_id == run_id
    expires_at = _shared_clock(connection) + EXPIRY_SECONDS
    renewal = update(table).where(is_this_run, table.c.holder == holder).values(expires_at=expires_at)
    if connection.execute(renewal).rowcount != 1:
        claim = connection.execute(select(table).where(is_this_run)).one_or_none()
        new_holder_text = "another process, which has ended" if claim is None else _holder_text(claim)
        raise IncompleteError(
            f"{run_name(connection, run_id)} was taken over by {new_holder_text}, because this process "
            f"did not renew its claim for {EXPIRY_SECONDS:.0f} s: it writes nothing more, and the same command resumes"
        )


def renew_all(connection: Connection, holder: str) -> None:
    """Renew all claims of a holder."""
    table = t.run_claim
    expires_at = _shared_clock(connection) + EXPIRY_SECONDS
    connection.execute(update(table).where(table.c.holder == holder).values(expires_at=expires_at))


def release(connection: Connection, holder: str, run_id: int | None = None) -> None:
    """Delete a holder's claim of one run, or all its claims if no run is given."""
    table = t.run_claim
    is_released = table.c.holder == holder
    if run_id is not None:
        is_released &= table.c.run_id == run_id
    connection.execute(delete(table).where(is_released))


def live_claim(connection: Connection, run_id: int) -> ClaimRecord | None:
    """Return the claim of a run; None if there is none or it has ended."""
    claim = connection.execute(select(t.run_claim).where(t.run_claim.c.run_id == run_id)).one_or_none()
    if claim is None or not _is_alive(claim, _shared_clock(connection)):
        return None
    host, process, _ = claim.holder.rsplit(":", 2)
    return ClaimRecord(host, int(process), datetime.fromtimestamp(claim.since, UTC).isoformat(timespec="seconds"))


def _shared_clock(connection: Connection) -> float:
    """Return seconds since 1970, on the clock that all writers of this database share."""
    if connection.dialect.name == "postgresql":
        return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)
    return time.time()


def _is_alive(claim: Row[*tuple[Any, ...]], now: float) -> bool:
    if claim.expires_at <= now or claim.holder in _abandoned_holders:
        return False
    host, process, token = claim.holder.rsplit(":", 2)
    is_visible = host == socket.gethostname() and token.startswith(f"{_process_namespace()}-")
    return not is_visible or _process_runs(int(process))


def _process_runs(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _process_namespace() -> str:
    """Return what distinguishes this system's process numbers from those of a machine or container of the same name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return f"{boot}.{Path('/proc/self/ns/pid').stat().st_ino:x}"
    except OSError:
        return f"{uuid.getnode():x}"


def _holder_text(claim: Row[*tuple[Any, ...]]) -> str:
    host, process, _ = claim.holder.rsplit(":", 2)
    return f"process {process} on {host} since {datetime.fromtimestamp(claim.since, UTC):%Y-%m-%d %H:%M:%S} UTC"
