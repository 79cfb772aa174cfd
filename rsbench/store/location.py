"""Where a store is: a SQLite file or a PostgreSQL database."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from rsbench.errors import UsageError

_FORMS = "give a path, sqlite:///FILE or postgresql://USER@HOST/NAME"


@dataclass(frozen=True)
class Location:
    """A database by its URL."""

    url: URL

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database, None of any other."""
        return Path(str(self.url.database)) if self.url.get_backend_name() == "sqlite" else None

    @property
    def name(self) -> str:
        """What may be printed: the file, or the URL without password and parameters."""
        return url_name(self.url)


def url_name(url: URL) -> str:
    """A database as messages name it: no secret is in it."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    shown = URL.create("postgresql", username=url.username, host=url.host, port=url.port, database=url.database)
    return shown.render_as_string()


def location_name(text: str) -> str:
    """What may be printed of a location that a user gave. Raises UsageError where `parse_location` does."""
    return parse_location(text).name


def parse_location(text: str) -> Location:
    """The location of a path or a URL. Raises UsageError, without repeating a secret, when it is neither."""
    if text == ":memory:":
        raise UsageError("a database in memory keeps nothing: give a file with --db")
    if "://" not in text:
        return Location(URL.create("sqlite", database=text))
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise UsageError(f"the database is not a URL: {_FORMS}") from error
    if backend == "sqlite" and url.database:
        return Location(URL.create("sqlite", database=url.database))
    if backend in ("postgresql", "postgres") and url.database:
        return Location(url.set(drivername="postgresql+psycopg"))
    raise UsageError(f"{backend} is no database for a store, or its URL names none: {_FORMS}")
