"""The store that a command opens."""

from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from rsbench.errors import UsageError
from rsbench.store.engine import (
    check_revision,
    create_sqlite_engine,
    is_empty,
    make_folder,
    sqlite_file,
    upgrade,
    use_write_ahead_log,
)
from rsbench.store.queries import Queries
from rsbench.store.writer import Writer


class Store(Writer, Queries):
    """One open database. Close it, or use it as a context manager."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @classmethod
    def create_or_open(cls, location: str) -> Self:
        """The store at a path or `sqlite:///FILE`, made when it is not there yet.

        Raises StoreError when it cannot be opened or its schema is not this code's.
        """
        file = sqlite_file(location)
        make_folder(file.parent)
        engine = create_sqlite_engine(file)
        if is_empty(engine):
            use_write_ahead_log(engine)
            upgrade(engine)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def open_existing(cls, location: str) -> Self:
        """The store at a path or `sqlite:///FILE`.

        Raises UsageError when there is none, StoreError when its schema is not this code's.
        """
        file = sqlite_file(location)
        if not file.is_file():
            raise UsageError(f"no results yet at {file}: run rsbench sweep first, or name the database with --db")
        engine = create_sqlite_engine(file)
        check_revision(engine)
        return cls(engine)

    @classmethod
    def look_into(cls, location: str) -> Self:
        """The store at a path or `sqlite:///FILE`, or an empty one in memory where there is none: for dry runs."""
        if sqlite_file(location).is_file():
            return cls.open_existing(location)
        engine = create_sqlite_engine(Path(":memory:"))
        upgrade(engine)
        return cls(engine)

    @property
    def file(self) -> Path:
        """The database's file."""
        return Path(str(self.engine.url.database))

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
