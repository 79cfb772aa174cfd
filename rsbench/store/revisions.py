"""The revision of the schema: checking it, and upgrading a database after copying it."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from itertools import chain, count
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect

from rsbench.bundled import bundled
from rsbench.errors import StoreError, UsageError
from rsbench.store.database_errors import translate_errors
from rsbench.store.engine import create_folder, create_store_engine, lock_schema, set_journal_mode
from rsbench.store.location import usable_location
from rsbench.store.seal import add_missing_seals


@dataclass(frozen=True)
class UpgradeResult:
    """What `upgrade_database` did."""

    before: str | None
    """The revision before the upgrade; None if the database was empty."""

    after: str
    backup: Path | None
    """A copy of the SQLite file before the upgrade; None if nothing was upgraded, and for PostgreSQL."""


def database_revision(location: str) -> str | None:
    """Return the revision of the database at a path or URL; None if the database is empty.

    Raises UsageError when there is no file, and StoreError when the database cannot be read.
    """
    where = usable_location(location)
    if where.file is not None and not where.file.is_file():
        raise UsageError(
            f"there is no database at {where.name}: create it with rsbench db upgrade, or give another with --db"
        )
    engine = create_store_engine(where)
    try:
        with translate_errors(engine), engine.connect() as connection:
            return current_revision(connection)
    finally:
        engine.dispose()


def upgrade_database(location: str) -> UpgradeResult:
    """Upgrade the database at a path or URL to the head revision. A SQLite file is created if it does not exist.

    A SQLite file of an older revision is first copied to a new file beside it. The upgrade is one transaction: if it
    fails, the database is unchanged and the copy is removed.
    Raises StoreError when the upgrade fails, when the database is newer than this rsbench, and when its tables are not
    rsbench's.
    """
    where = usable_location(location)
    file, backup = where.file, None

    def back_up_file(revision: str) -> None:
        nonlocal backup
        backup = None if file is None else _back_up(file, revision)

    if file is not None:
        create_folder(file.parent)
    engine = create_store_engine(where)
    try:
        try:
            before = upgrade_schema(engine, back_up_file)
        except BaseException:
            # Without this, every failed attempt would leave another copy.
            if backup is not None:
                backup.unlink()
            raise
        if file is not None:
            with translate_errors(engine):
                set_journal_mode(engine, file)
    finally:
        engine.dispose()
    return UpgradeResult(before, head_revision(), backup)


def upgrade_schema(engine: Engine, before_change: Callable[[str], None] | None = None) -> str | None:
    """Upgrade the schema to the head revision in one transaction, and return the revision before it.

    before_change: called with the old revision before the schema of a non-empty database changes, while this process
    holds the lock on the schema.
    Raises StoreError when the database is newer than this rsbench, or its tables are not rsbench's.
    """
    with translate_errors(engine), engine.begin() as connection:
        lock_schema(connection)
        _check_is_known(connection)
        before = current_revision(connection)
        if before_change is not None and before is not None and before != head_revision():
            before_change(before)
        command.upgrade(alembic_config(connection), "head")
        add_missing_seals(connection)
    return before


def check_revision(engine: Engine) -> None:
    """Raise StoreError unless the database is at the head revision."""
    with translate_errors(engine), engine.connect() as connection:
        _check_is_known(connection)
        revision = current_revision(connection)
    if revision != head_revision():
        # rsbench copies a SQLite file before it upgrades it, but it cannot copy a server's database.
        hint = "" if engine.dialect.name == "sqlite" else " (pg_dump it first if you may want to go back)"
        raise StoreError(
            f"the database is at revision {revision}, this rsbench needs {head_revision()}: "
            f"run rsbench db upgrade{hint}"
        )


def head_revision() -> str:
    """Return the revision that this rsbench needs: that of the newest migration."""
    head = _migration_scripts().get_current_head()
    assert head is not None  # noqa: S101 - the package ships its migrations
    return head


def current_revision(connection: Connection) -> str | None:
    """Return the revision of an open database; None if rsbench has never created tables in it."""
    return MigrationContext.configure(connection).get_current_revision()


def alembic_config(connection: Connection | None = None) -> Config:
    """Return the configuration with which Alembic runs rsbench's migrations on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(bundled("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@cache
def _migration_scripts() -> ScriptDirectory:
    # Cached because reading the scripts takes longer than reading the board.
    return ScriptDirectory.from_config(alembic_config())


def _check_is_known(connection: Connection) -> None:
    """Raise StoreError when the tables are not rsbench's, or this rsbench has no migration of their revision."""
    revision = current_revision(connection)
    if revision is None and inspect(connection).get_table_names():
        raise StoreError("the database holds tables that are not rsbench's: give another database with --db")
    if revision is not None and revision not in {script.revision for script in _migration_scripts().walk_revisions()}:
        raise StoreError(
            f"the database is at revision {revision}, which this rsbench does not know: it was written by a newer "
            "version; upgrade rsbench, or give another database with --db"
        )


def _back_up(file: Path, revision: str) -> Path:
    """Copy a SQLite file to a new file beside it that is named by its revision, and return once it is on disk.

    The caller holds the lock on the schema. Raises StoreError when that fails, and leaves no partial copy.
    """
    partial = file.with_name(f"{file.name}.{revision}.partial")
    try:
        _remove_copy(partial)
        with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
            # A copy in WAL mode would get further files beside it as soon as somebody opens it.
            copy.execute("PRAGMA journal_mode=DELETE")
        shutil.copymode(file, partial)
        _flush_to_disk(partial)
        backup = partial.rename(_unused_backup_name(file, revision))
        _flush_to_disk(file.parent)
    except (sqlite3.Error, OSError) as error:
        _remove_copy(partial)
        problem = (isinstance(error, OSError) and error.strerror) or error
        raise StoreError(
            f"{file} could not be copied before its upgrade ({problem}): nothing was changed; free space beside it, "
            "then run rsbench db upgrade again"
        ) from error
    return backup


def _unused_backup_name(file: Path, revision: str) -> Path:
    suffixes = chain([""], map("-{}".format, count(2)))
    names = (file.with_name(f"{file.name}.{revision}{suffix}.backup") for suffix in suffixes)
    return next(name for name in names if not name.exists())


def _remove_copy(copy: Path) -> None:
    for file in (copy, copy.with_name(f"{copy.name}-journal")):
        file.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
