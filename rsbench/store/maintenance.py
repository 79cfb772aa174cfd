"""What `rsbench db` does."""

from rsbench.errors import UsageError
from rsbench.store.engine import create_store_engine, current_revision, head_revision, translated, upgrade
from rsbench.store.location import parse_location
from rsbench.store.sqlite import make_folder, use_write_ahead_log


def revisions(location: str) -> tuple[str | None, str]:
    """The database's revision (None: it is empty) and the code's. Raises UsageError when there is no database."""
    where = parse_location(location)
    if where.file is not None and not where.file.is_file():
        raise UsageError(f"no database at {where.name}: make one with rsbench db upgrade, or name another with --db")
    engine = create_store_engine(where)
    with translated(engine), engine.connect() as connection:
        found = current_revision(connection)
    engine.dispose()
    return found, head_revision()


def bring_up_to_date(location: str) -> tuple[str | None, str]:
    """Upgrade a database, made when it is a file that is not there yet; returns its revision before and after."""
    where = parse_location(location)
    if where.file is not None:
        make_folder(where.file.parent)
    engine = create_store_engine(where)
    with translated(engine):
        with engine.connect() as connection:
            before = current_revision(connection)
        if where.file is not None:
            use_write_ahead_log(engine)
    upgrade(engine)
    engine.dispose()
    return before, head_revision()
