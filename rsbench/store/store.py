"""`Store`: a results database that a command opens, reads and writes."""

from json import JSONDecodeError
from pathlib import Path
from typing import Self

from rsbench.errors import NoStoreError, RsbenchError, StoreError, first_line
from rsbench.store.database_errors import DAMAGED_FILE_REMEDY, translate_errors
from rsbench.store.engine import (
    create_folder,
    create_sqlite_engine,
    create_store_engine,
    is_empty,
    is_intact,
    set_journal_mode,
)
from rsbench.store.location import Location, url_name, usable_location
from rsbench.store.queries import Queries
from rsbench.store.revisions import check_revision, upgrade_schema
from rsbench.store.writer import Writer


class Store(Writer, Queries):
    """An open results database: `Writer` changes it, `Queries` reads it.

    Create one with `create_or_open`, `open_existing` or `open_or_empty`. Close it, or use it as a context manager::

        with Store.open_existing("results.db") as store:
            runs = store.sealed_runs("digits")
    """

    @classmethod
    def create_or_open(cls, location: str) -> Self:
        """Open the store at a path or URL. If there is none, create its tables, and its file for SQLite.

        Raises StoreError when the database cannot be opened or is not at the revision that this rsbench needs.
        """
        where = usable_location(location)
        if where.file is not None:
            create_folder(where.file.parent)
        engine = create_store_engine(where)
        if is_empty(engine):
            if where.file is not None:
                with translate_errors(engine):
                    set_journal_mode(engine, where.file)
            upgrade_schema(engine)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def open_existing(cls, location: str) -> Self:
        """Open the store at a path or URL.

        Raises NoStoreError when there is none, and StoreError when the database cannot be opened or is not at the
        revision that this rsbench needs.
        """
        where = usable_location(location)
        if not _exists(where):
            raise NoStoreError(
                f"no results yet at {where.name}: run rsbench sweep first, or give another database with --db"
            )
        engine = create_store_engine(where)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def open_or_empty(cls, location: str) -> Self:
        """Open the store at a path or URL; if there is none, return an empty store in memory and create nothing.

        This is for dry runs. Raises StoreError as `open_existing` does.
        """
        if _exists(usable_location(location)):
            return cls.open_existing(location)
        engine = create_sqlite_engine(Path(":memory:"))
        upgrade_schema(engine)
        return cls(engine)

    def close(self) -> None:
        """Release the claims of this store's runs and close its connections."""
        self.release_claims()
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Close the store. Raises StoreError if the block failed because the database is damaged."""
        try:
            if error is not None and self._is_caused_by_damage(error):
                raise StoreError(
                    f"{url_name(self.engine.url)}: its content cannot be read ({first_line(error)}): "
                    f"{DAMAGED_FILE_REMEDY}"
                ) from error
        finally:
            self.close()

    def _is_caused_by_damage(self, error: BaseException) -> bool:
        # A damaged page can be read as values that rsbench never writes, which then fail anywhere in its code. The same
        # exceptions in an intact database are bugs, and must keep their tracebacks.
        if isinstance(error, RsbenchError) or not isinstance(error, ValueError | TypeError | LookupError):
            return False
        return isinstance(error, JSONDecodeError | UnicodeDecodeError) or not is_intact(self.engine)


def _exists(location: Location) -> bool:
    if location.file is not None:
        return location.file.is_file()
    engine = create_store_engine(location)
    try:
        return not is_empty(engine)
    finally:
        engine.dispose()
