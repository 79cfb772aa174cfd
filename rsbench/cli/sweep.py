"""`rsbench sweep`: train a grid of base classifiers and certify each."""

from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_estimate, print_finished, say
from rsbench.cli.progress import ProgressLine
from rsbench.errors import UsageError
from rsbench.methods import METHODS


@o.with_option_groups
def sweep(
    *,
    method: Annotated[
        str, typer.Option(envvar="RSBENCH_METHOD", help=f"{', '.join(METHODS)}; several between commas.")
    ] = "",
    dataset: o.Dataset = "digits",
    architecture: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_ARCHITECTURE", help="Network: mlp, cnn, wrn40-2 or resnet50.", show_default="by dataset"
        ),
    ] = None,
    sigma: Annotated[
        str, typer.Option(envvar="RSBENCH_SIGMA", help="Standard deviations of the noise, between commas.")
    ] = "0.25,0.5,1",
    seed: Annotated[str, typer.Option(envvar="RSBENCH_SEED", help="Seeds between commas.")] = "0,1,2",
    epochs: Annotated[int, typer.Option(envvar="RSBENCH_EPOCHS", help="Training epochs.")] = 30,
    run: o.CertificationOptions,
    files: o.FileOptions,
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Train a grid of base classifiers and certify each. The grid is every method, sigma and seed.

    The same command again resumes what is missing, or says that nothing is.
    """
    from rsbench.data.registry import load_dataset
    from rsbench.jobs.options import SweepOptions

    methods = o.names(method)
    if not methods:
        raise UsageError(f"--method is missing: choose from {', '.join(METHODS)}, or several between commas")
    sigmas, seeds = o.sigmas(sigma), o.seeds(seed)
    options = SweepOptions(methods, sigmas, seeds, epochs, run.certify_options(), architecture)

    data = load_dataset(dataset or "digits", files.data_root)
    location = o.database(files.db)
    if dry_run:
        from rsbench.jobs.estimate import dry_run_sweep

        print_estimate(dry_run_sweep(options, data, location, o.home(), workers=run.workers, say=say), json)
        return

    from rsbench.jobs.sweep import sweep as run_sweep

    finished = run_sweep(options, data, location, o.home(), workers=run.workers, listener=ProgressLine())
    print_finished(finished, json)
