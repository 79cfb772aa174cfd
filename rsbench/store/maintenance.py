"""What `rsbench db` does."""

from dataclasses import dataclass
from pathlib import Path

from rsbench.errors import UsageError
from rsbench.store.engine import create_store_engine, current_revision, head_revision, translated, upgrade
from rsbench.store.filesystem import usable_location
from rsbench.store.sqlite import back_up, choose_journal, make_folder


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade did. `before`: None for a database that was empty. `backup`: a copy of the file as it was."""

    before: str | None
    after: str
    backup: Path | None


def revisions(location: str) -> tuple[str | None, str]:
    """The database's revision (None: it is empty) and the code's. Raises UsageError when there is no database."""
    where = usable_location(location)
    if where.file is not None and not where.file.is_file():
        raise UsageError(f"no database at {where.name}: make one with rsbench db upgrade, or name another with --db")
    engine = create_store_engine(where)
    with translated(engine), engine.connect() as connection:
        found = current_revision(connection)
    engine.dispose()
    return found, head_revision()


def bring_up_to_date(location: str) -> Upgrade:
    """Upgrade a database, made when it is a file that is not there yet. An older file is copied beside itself first.

    Raises StoreError when that fails, when the database is newer than the code, and when it is not rsbench's.
    """
    where = usable_location(location)
    file, backup = where.file, None

    def keep(revision: str) -> None:
        nonlocal backup
        backup = None if file is None else back_up(file, revision)

    if file is not None:
        make_folder(file.parent)
    engine = create_store_engine(where)
    try:
        try:
            before = upgrade(engine, keep)
        except BaseException:
            # It has changed nothing. Were the copy kept, every further try would make another.
            if backup is not None:
                backup.unlink()
            raise
        if file is not None:
            with translated(engine):
                choose_journal(engine, file)
    finally:
        engine.dispose()
    return Upgrade(before, head_revision(), backup)
