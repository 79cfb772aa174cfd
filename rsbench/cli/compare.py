"""`rsbench compare`: two runs on the same images."""

from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich
from rsbench.errors import UsageError
from rsbench.report.numbers import DEFAULT_RADII, split_radii


def compare(
    first: Annotated[str, typer.Argument(metavar="RUN_A", help="The start of a run's fingerprint.")],
    second: Annotated[str, typer.Argument(metavar="RUN_B", help="The start of the other's.")],
    radius: Annotated[
        str, typer.Option(envvar="RSBENCH_RADIUS", help="Radii between commas, pixels in [0,1].")
    ] = DEFAULT_RADII,
    norm: Annotated[
        str | None, typer.Option(envvar="RSBENCH_NORM", help="l1 or l2 (default: the first that both hold in).")
    ] = None,
    confidence: Annotated[
        float, typer.Option(envvar="RSBENCH_CONFIDENCE", help="Of the interval of the average radius.")
    ] = 0.95,
    resamples: Annotated[int, typer.Option(envvar="RSBENCH_RESAMPLES", help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    db: o.Database = None,
    json: o.Json = False,
) -> None:
    """Compare two sealed runs image by image.

    The tests say whether the difference is more than chance.
    """
    radii = split_radii(radius)
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"--confidence {confidence:g}: give a number between 0 and 1, such as 0.95")
    if not 100 <= resamples <= 1_000_000:
        raise UsageError(f"--resamples {resamples}: give 100 to 1000000")
    if seed < 0:
        raise UsageError(f"--seed {seed}: give a whole number ≥ 0")

    from rsbench.report.comparison import check_comparable, comparison_json, comparison_table
    from rsbench.report.comparison import compare as compare_runs
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        runs = store.run(first), store.run(second)
        check_comparable(*runs, norm)
        pair_a, pair_b = [(run, store.image_columns(run.id)) for run in runs]
    comparison = compare_runs(pair_a, pair_b, radii, norm=norm, confidence=confidence, resamples=resamples, seed=seed)
    if json:
        print_json(comparison_json(comparison))
    else:
        print_rich(comparison_table(comparison))
