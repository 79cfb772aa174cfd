"""`rsbench show`: one run with all its details."""

from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich


def show(
    run: Annotated[str, typer.Argument(help="The start of a run's fingerprint, at least 4 digits.")],
    images: Annotated[bool, typer.Option("--images", help="Print a row for every image too.")] = False,
    db: o.Database = None,
    json: o.Json = False,
) -> None:
    """Print a run: specification, results and provenance."""
    from rsbench.report.run_view import images_table, read_run, run_json, run_table
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        view = read_run(store, run, with_images=images, with_votes=json)
        # Values of a damaged file may first fail here, and the store reports them as damage while it is open.
        if json:
            print_json(run_json(view))
        else:
            print_rich(run_table(view), *([] if view.images is None else [images_table(view.images)]))
