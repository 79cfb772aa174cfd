"""`rsbench db`: the database's schema."""

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json

app = typer.Typer(help="The database: its revision, and bringing it up to date.", no_args_is_help=True)


@app.command()
def current(db: o.Database = None, json: o.Json = False) -> None:
    """Print the database's revision and the one that this rsbench needs."""
    from rsbench.store.location import location_name
    from rsbench.store.maintenance import revisions

    location = o.database(db)
    found, needed = revisions(location)
    name = location_name(location)
    if json:
        print_json({"database": name, "revision": found, "needed": needed})
    else:
        print(f"{name}: revision {found}, this rsbench needs {needed}")


@app.command()
def upgrade(db: o.Database = None) -> None:
    """Bring the database to the revision that this rsbench needs; it is made when it is not there yet."""
    from rsbench.store.location import location_name
    from rsbench.store.maintenance import bring_up_to_date

    location = o.database(db)
    before, after = bring_up_to_date(location)
    print(f"{location_name(location)}: {'already' if before == after else 'now'} at revision {after}")
