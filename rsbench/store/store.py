"""The store that a command opens."""

from json import JSONDecodeError
from pathlib import Path
from typing import Self

from rsbench.errors import RsbenchError, StoreError, UsageError, first_line
from rsbench.store.engine import DAMAGED, check_revision, create_store_engine, is_empty, is_sound, translated, upgrade
from rsbench.store.filesystem import usable_location
from rsbench.store.location import Location, url_name
from rsbench.store.queries import Queries
from rsbench.store.sqlite import choose_journal, create_sqlite_engine, make_folder
from rsbench.store.writer import Writer


class Store(Writer, Queries):
    """One open database. Close it, or use it as a context manager."""

    @classmethod
    def create_or_open(cls, location: str) -> Self:
        """The store at a path or URL; its tables are made when they are not there yet, and a SQLite file too.

        Raises StoreError when it cannot be opened or its schema is not this code's.
        """
        where = usable_location(location)
        if where.file is not None:
            make_folder(where.file.parent)
        engine = create_store_engine(where)
        if is_empty(engine):
            if where.file is not None:
                with translated(engine):
                    choose_journal(engine, where.file)
            upgrade(engine)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def open_existing(cls, location: str) -> Self:
        """The store at a path or URL.

        Raises UsageError when there is none, StoreError when its schema is not this code's.
        """
        where = usable_location(location)
        if not _exists(where):
            raise UsageError(f"no results yet at {where.name}: run rsbench sweep first, or name the database with --db")
        engine = create_store_engine(where)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def look_into(cls, location: str) -> Self:
        """The store at a path or URL, or an empty one in memory where there is none: for dry runs."""
        if _exists(usable_location(location)):
            return cls.open_existing(location)
        engine = create_sqlite_engine(Path(":memory:"))
        upgrade(engine)
        return cls(engine)

    def close(self) -> None:
        """Give the claims and the connections back."""
        self.release_claims()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Raises StoreError where it is the database's damage that made the work on it fail."""
        try:
            if error is not None and self._is_damaged(error):
                raise StoreError(
                    f"{url_name(self.engine.url)}: what it holds cannot be read ({first_line(error)}): {DAMAGED}"
                ) from error
        finally:
            self.close()

    def _is_damaged(self, error: BaseException) -> bool:
        # A damaged page can read as values that no rsbench wrote; any other error is a bug, and keeps its traceback.
        if isinstance(error, RsbenchError) or not isinstance(error, ValueError | TypeError | LookupError):
            return False
        return isinstance(error, JSONDecodeError | UnicodeDecodeError) or not is_sound(self.engine)


def _exists(where: Location) -> bool:
    if where.file is not None:
        return where.file.is_file()
    engine = create_store_engine(where)
    try:
        return not is_empty(engine)
    finally:
        engine.dispose()
