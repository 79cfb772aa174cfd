"""`rsbench certify`: certify images under trained base classifiers."""

from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import say, tell_estimate, tell_finished
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
    if dataset is None:
        raise UsageError("--dataset is missing: choose digits, fashion-mnist, imagenet, or the path of an .npz file")
    options = run.certify_options(method=method, certify_sigma=certify_sigma, noise_seed=seed)

    from rsbench.data.registry import load_dataset
    from rsbench.jobs.certify import run_certification
    from rsbench.jobs.checkpoints import CheckpointDescription
    from rsbench.jobs.estimate import estimate_runs
    from rsbench.jobs.planning import choose_checkpoints, plan_run
    from rsbench.jobs.preflight import check_above_chance
    from rsbench.store.store import Store

    data = load_dataset(dataset, files.data_root)
    description = CheckpointDescription(
        method=method,
        sigma=sigma,
        architecture=architecture,
        offsets_seed=offsets_seed,
        normalisation=normalisation,
    )
    workers, location = run.worker_count(options.device), o.database(files.db)
    # Whatever is refused is refused before a database is made.
    with Store.open_or_empty(location) as store:
        chosen = choose_checkpoints(store, o.home(), data, description, checkpoint=checkpoint)
        planned = [plan_run(found, path, data, options) for found, path in chosen]
        if dry_run:
            tell_estimate(estimate_runs(store, o.home(), data, planned, workers=workers, say=say), json)
            return
        if not force:
            for plan in planned:
                if store.find_run(plan.spec.fingerprint()) is None:
                    check_above_chance(plan.checkpoint, data, plan.spec.images)
    with Store.create_or_open(location) as store:
        finished = run_certification(store, data, planned, workers=workers, listener=ProgressLine())
    tell_finished(finished, json)
