"""Translating errors of SQLite and PostgreSQL into one-line StoreErrors with a suggested remedy."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError

from rsbench.errors import StoreError, UnavailableError, first_line
from rsbench.store.location import url_name

DAMAGED_FILE_REMEDY = "the file is damaged; restore a copy, or give another file with --db"

_FREE_SPACE = "free some space, then run the same command again: what was committed is kept"
_CHECK_SERVER = "check that the server runs, and its host and port; what was committed is kept"

# The remedy for the first phrase that occurs in the database's message.
_REMEDIES = {
    "full": _FREE_SPACE,
    "No space left": _FREE_SPACE,
    "disk I/O": "is the disk full or disconnected? what was committed is kept, and the same command resumes",
    "locked": "another process holds it; wait for that process to end, then run the same command again",
    "readonly": "name a writable file with --db",
    "not a database": "give another file with --db",
    "malformed": DAMAGED_FILE_REMEDY,
    "Could not decode": DAMAGED_FILE_REMEDY,
    "unable to open": "check that the folder exists and can be written",
    "password": "check the user and the password, or put the password into ~/.pgpass",
    "role": "check the user",
    "does not exist": "create the database first, or check its name",
    "connection": _CHECK_SERVER,
    "host": _CHECK_SERVER,
}
_DEFAULT_REMEDY = "nothing was half-written; run the same command again once the cause is gone"

# SQLite's error codes hold the kind of error in their lowest byte, and details above it.
_SQLITE_PRIMARY_CODE = 0xFF
# SQLSTATE codes of a server that is shutting down, has crashed, or is starting.
_RESTARTING = ("57P01", "57P02", "57P03")


@contextmanager
def translate_errors(engine: Engine) -> Iterator[None]:
    """Raise StoreError in place of errors of SQLAlchemy, sqlite3 and psycopg.

    Its message is one line that names the database, the problem and a remedy.

    Raises its subclass UnavailableError where repeating the operation later may succeed: the server does not answer, or
    another process holds the file.
    """
    try:
        yield
    except IntegrityError as error:
        raise StoreError(
            f"the database refused a row ({first_line(error.orig or error)}): is another rsbench writing the same run?"
        ) from error
    except UnicodeDecodeError as error:
        # In a damaged file, the names of tables and columns may be invalid UTF-8.
        raise StoreError(f"{url_name(engine.url)}: text in it cannot be decoded: {DAMAGED_FILE_REMEDY}") from error
    except DBAPIError as error:
        raise _store_error(engine, error.orig or error, connection_lost=error.connection_invalidated) from error
    except psycopg.Error as error:
        # COPY calls psycopg directly, so SQLAlchemy does not wrap its errors.
        raise _store_error(engine, error, connection_lost=False) from error


def _store_error(engine: Engine, error: BaseException, *, connection_lost: bool) -> StoreError:
    error_class = UnavailableError if connection_lost or _is_transient(error) else StoreError
    problem = first_line(error)
    remedy = next((remedy for phrase, remedy in _REMEDIES.items() if phrase in problem), _DEFAULT_REMEDY)
    return error_class(f"{url_name(engine.url)}: {problem}: {remedy}")


def _is_transient(error: BaseException) -> bool:
    """Return whether the cause may pass without intervention: a locked file, or a server that cannot be reached."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode & _SQLITE_PRIMARY_CODE in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    if not isinstance(error, psycopg.OperationalError):
        return False
    # An error without a code comes from psycopg itself, which has no connection to the server. Codes that begin with 08
    # are connection errors of the server.
    return error.sqlstate is None or error.sqlstate.startswith("08") or error.sqlstate in _RESTARTING
