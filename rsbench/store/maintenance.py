"""What `rsbench db` does."""

from rsbench.errors import UsageError
from rsbench.store.engine import (
    create_sqlite_engine,
    current_revision,
    head_revision,
    make_folder,
    sqlite_file,
    translated,
    upgrade,
    use_write_ahead_log,
)


def revisions(location: str) -> tuple[str | None, str]:
    """The database's revision (None: it is empty) and the code's. Raises UsageError when there is no database."""
    file = sqlite_file(location)
    if not file.is_file():
        raise UsageError(f"no database at {file}: make one with rsbench db upgrade, or name another with --db")
    engine = create_sqlite_engine(file)
    with translated(engine), engine.connect() as connection:
        found = current_revision(connection)
    engine.dispose()
    return found, head_revision()


def bring_up_to_date(location: str) -> tuple[str | None, str]:
    """Upgrade a database, made when it is not there yet; returns its revision before and after."""
    file = sqlite_file(location)
    make_folder(file.parent)
    engine = create_sqlite_engine(file)
    with translated(engine), engine.connect() as connection:
        before = current_revision(connection)
    use_write_ahead_log(engine)
    upgrade(engine)
    engine.dispose()
    return before, head_revision()
