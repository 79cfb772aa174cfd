"""`rsbench certify`: certify images under trained base classifiers."""

from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import say, tell_estimate, tell_finished
from rsbench.cli.progress import ProgressLine
from rsbench.errors import UsageError
from rsbench.methods import method_named

_KEYS = (
    "dataset", "data_root", "checkpoint", "method", "sigma", "architecture", "offsets_seed", "normalisation", "images",
    "n0", "n", "alpha", "seed", "batch_size", "workers", "device", "noise_arithmetic", "precision", "channels_last",
    "compile", "mixed_devices",
)  # fmt: skip


def certify(
    dataset: o.Dataset = None,
    checkpoint: Annotated[
        str | None, typer.Option(envvar="RSBENCH_CHECKPOINT", help="A checkpoint's file, or the start of its sha256.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_METHOD", help="Certify the known checkpoints of a method; for a foreign file: its method."
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(envvar="RSBENCH_SIGMA", help="Only checkpoints at this sigma; for a foreign file: its sigma."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_ARCHITECTURE", help="Only checkpoints of this network; for a foreign file: its network."
        ),
    ] = None,
    offsets_seed: Annotated[
        int | None, typer.Option(envvar="RSBENCH_OFFSETS_SEED", help="Offset seed of a foreign DSSN file (default 0).")
    ] = None,
    normalisation: o.Normalisation = None,
    images: o.Images = None,
    n0: o.SelectionVotes = None,
    n: o.EstimationVotes = None,
    alpha: o.Alpha = None,
    seed: Annotated[
        int | None, typer.Option(envvar="RSBENCH_SEED", help="Seed of the noise (default: the training seed).")
    ] = None,
    batch_size: o.BatchSize = None,
    workers: o.Workers = None,
    device: o.Device = None,
    noise_arithmetic: o.NoiseArithmetic = None,
    precision: o.ChosenPrecision = None,
    channels_last: o.ChannelsLast = None,
    compile: o.Compile = None,  # noqa: A002 - the option's name
    mixed_devices: o.MixedDevices = None,
    data_root: o.DataRoot = None,
    config: o.Config = None,
    db: o.Database = None,
    force: Annotated[
        bool, typer.Option("--force", help="Certify a checkpoint that guesses on the first look too.")
    ] = False,
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Certify images. Without --checkpoint and --method: every known checkpoint that has no sealed run.

    The same command again resumes what is missing, or says that nothing is.
    """
    settings = o.Settings(config, _KEYS)
    chosen_dataset = settings.maybe("dataset", dataset, str)
    if chosen_dataset is None:
        raise UsageError("no --dataset: choose digits, fashion-mnist, imagenet, or the path of an .npz file")
    asked = o.check_workers(settings.maybe("workers", workers, int))
    noise_seed = settings.maybe("seed", seed, int)
    if noise_seed is not None and not 0 <= noise_seed < 2**32:
        raise UsageError(f"--seed {noise_seed}: give a whole number from 0 to {2**32 - 1}")
    method_name = settings.maybe("method", method, str)
    if method_name is not None:
        method_named(method_name)

    # torch and Ray take seconds to import: bad input is told first.
    from rsbench.data.registry import load_dataset
    from rsbench.jobs.certify import run_certification
    from rsbench.jobs.checkpoints import CheckpointDescription
    from rsbench.jobs.estimate import estimate_runs
    from rsbench.jobs.planning import CertifyOptions, choose_checkpoints, plan_run
    from rsbench.jobs.preflight import check_above_chance
    from rsbench.store.store import Store

    data = load_dataset(chosen_dataset, settings.path("data_root", data_root))
    description = CheckpointDescription(
        method=method_name,
        sigma=settings.maybe("sigma", sigma, float),
        architecture=settings.maybe("architecture", architecture, str),
        offsets_seed=settings.maybe("offsets_seed", offsets_seed, int),
        normalisation=settings.maybe("normalisation", normalisation, str),
    )
    device = o.device_name(settings.maybe("device", device, str))
    worker_count = o.default_workers(device) if asked is None else asked
    options = CertifyOptions(
        images=settings.maybe("images", images, str),
        n_select=settings.pick("n0", n0, 100),
        n_estimate=settings.maybe("n", n, int),
        failure_probability=settings.pick("alpha", alpha, 0.001),
        noise_seed=noise_seed,
        batch_size=settings.maybe("batch_size", batch_size, int),
        noise_arithmetic=o.noise_arithmetic(settings.maybe("noise_arithmetic", noise_arithmetic, str)),
        precision=o.precision(settings.pick("precision", precision, "fp32"), device),
        channels_last=settings.maybe("channels_last", channels_last, bool),
        torch_compile=settings.pick("compile", compile, False),
        mixed_devices=settings.pick("mixed_devices", mixed_devices, False),
        device=device,
    )
    location = o.database(db)
    # Whatever is refused is refused before a database is made.
    with Store.look_into(location) as store:
        name = settings.maybe("checkpoint", checkpoint, str)
        chosen = choose_checkpoints(store, o.home(), data, description, checkpoint=name)
        planned = [plan_run(found, path, data, options) for found, path in chosen]
        if dry_run:
            estimate = estimate_runs(store, o.home(), data, planned, workers=worker_count, say=say)
            tell_estimate(estimate, json)
            return
        if not force:
            for plan in planned:
                if store.find_run(plan.spec.fingerprint()) is None:
                    check_above_chance(plan.checkpoint, data, plan.spec.images)
    with Store.create_or_open(location) as store:
        finished = run_certification(store, data, planned, workers=worker_count, watcher=ProgressLine())
    tell_finished(finished, json)
