"""`rsbench certify`: certify images under trained base classifiers."""

from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_estimate, print_finished, say
from rsbench.cli.progress import ProgressLine
from rsbench.errors import UsageError


@o.with_option_groups
def certify(
    *,
    dataset: o.Dataset = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_CHECKPOINT", help="A checkpoint file, or the start of a known sha256."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_METHOD", help="Certify known checkpoints by this method; required for an external file."
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            envvar="RSBENCH_SIGMA", help="Only checkpoints trained at this sigma; required for an external file."
        ),
    ] = None,
    certify_sigma: Annotated[
        float | None,
        typer.Option(
            envvar="RSBENCH_CERTIFY_SIGMA", help="Sigma to certify with.", show_default="the sigma of the training"
        ),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_ARCHITECTURE",
            help="Only checkpoints of this network; for an external file, its network.",
            show_default="for an external file: by dataset",
        ),
    ] = None,
    offsets_seed: Annotated[
        int | None,
        typer.Option(
            envvar="RSBENCH_OFFSETS_SEED", help="Seed of the offsets of an external DSSN file.", show_default="0"
        ),
    ] = None,
    normalisation: o.Normalisation = None,
    seed: Annotated[
        int | None,
        typer.Option(envvar="RSBENCH_SEED", help="Seed of the noise.", show_default="the seed of the training"),
    ] = None,
    run: o.CertificationOptions,
    files: o.FileOptions,
    force: Annotated[
        bool, typer.Option("--force", help="Certify a checkpoint although it is no better than guessing.")
    ] = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Certify images under trained base classifiers.

    Without --checkpoint and --method, it certifies every known checkpoint that has no sealed run. The same command
    again resumes what is missing, or says that nothing is.
    """
    from rsbench.data.registry import load_dataset
    from rsbench.jobs.options import CertifyRequest, CheckpointDescription

    if dataset is None:
        raise UsageError("--dataset is missing: choose digits, fashion-mnist, imagenet, or the path of an .npz file")
    options = run.certify_options(method=method, certify_sigma=certify_sigma, noise_seed=seed)
    description = CheckpointDescription(
        method=method,
        sigma=sigma,
        architecture=architecture,
        offsets_seed=offsets_seed,
        normalisation=normalisation,
    )
    request = CertifyRequest(options, description, checkpoint)

    data = load_dataset(dataset, files.data_root)
    location = o.database(files.db)
    if dry_run:
        from rsbench.jobs.estimate import dry_run_certify

        print_estimate(dry_run_certify(request, data, location, o.home(), workers=run.workers, say=say), json)
        return

    from rsbench.jobs.certify import certify as certify_images

    finished = certify_images(
        request, data, location, o.home(), workers=run.workers, allow_guessing=force, listener=ProgressLine()
    )
    print_finished(finished, json)
