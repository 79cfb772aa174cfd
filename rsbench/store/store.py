"""The store that a command opens."""

from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from rsbench.errors import UsageError
from rsbench.store.engine import check_revision, create_store_engine, is_empty, translated, upgrade
from rsbench.store.location import Location, parse_location
from rsbench.store.queries import Queries
from rsbench.store.sqlite import create_sqlite_engine, make_folder, use_write_ahead_log
from rsbench.store.writer import Writer


class Store(Writer, Queries):
    """One open database. Close it, or use it as a context manager."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def create_or_open(cls, location: str) -> Self:
        """The store at a path or URL; its tables are made when they are not there yet, and a SQLite file too.

        Raises StoreError when it cannot be opened or its schema is not this code's.
        """
        where = parse_location(location)
        if where.file is not None:
            make_folder(where.file.parent)
        engine = create_store_engine(where)
        if is_empty(engine):
            if where.file is not None:
                with translated(engine):
                    use_write_ahead_log(engine)
            upgrade(engine)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def open_existing(cls, location: str) -> Self:
        """The store at a path or URL.

        Raises UsageError when there is none, StoreError when its schema is not this code's.
        """
        where = parse_location(location)
        if not _exists(where):
            raise UsageError(f"no results yet at {where.name}: run rsbench sweep first, or name the database with --db")
        engine = create_store_engine(where)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def look_into(cls, location: str) -> Self:
        """The store at a path or URL, or an empty one in memory where there is none: for dry runs."""
        if _exists(parse_location(location)):
            return cls.open_existing(location)
        engine = create_sqlite_engine(Path(":memory:"))
        upgrade(engine)
        return cls(engine)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _exists(where: Location) -> bool:
    if where.file is not None:
        return where.file.is_file()
    engine = create_store_engine(where)
    try:
        return not is_empty(engine)
    finally:
        engine.dispose()
