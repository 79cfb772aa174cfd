"""`rsbench sweep`: train a grid of base classifiers and certify each."""

from typing import Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import say, tell_estimate, tell_finished
from rsbench.cli.progress import ProgressLine
from rsbench.errors import UsageError
from rsbench.methods import METHODS, method_named

_DEFAULT_SIGMAS = "0.25,0.5,1"
_DEFAULT_SEEDS = "0,1,2"

_KEYS = (
    "method", "dataset", "data_root", "architecture", "sigma", "seed", "epochs", "images", "n0", "n", "alpha",
    "batch_size", "workers", "device", "noise_arithmetic", "precision", "channels_last", "compile", "mixed_devices",
)  # fmt: skip


def sweep(
    method: Annotated[
        str | None, typer.Option(envvar="RSBENCH_METHOD", help="cohen, uniform, ssn, dssn; several between commas.")
    ] = None,
    dataset: o.Dataset = None,
    architecture: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_ARCHITECTURE", help="mlp, cnn, wrn40-2 or resnet50 (default: the data set's)."),
    ] = None,
    sigma: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_SIGMA", help="Standard deviations between commas (default 0.25,0.5,1)."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(envvar="RSBENCH_SEED", help="Seeds between commas (default 0,1,2).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(envvar="RSBENCH_EPOCHS", help="Training epochs (default 30).")] = None,
    images: o.Images = None,
    n0: o.SelectionVotes = None,
    n: o.EstimationVotes = None,
    alpha: o.Alpha = None,
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
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Train base classifiers over a grid of sigmas and seeds, and certify each of them.

    The same command again resumes what is missing, or says that nothing is.
    """
    settings = o.Settings(config, _KEYS)
    methods = o.names(settings.pick("method", method, ""))
    if not methods:
        raise UsageError(f"no --method: choose from {', '.join(METHODS)}, or several between commas")
    for name in methods:
        method_named(name)
    sigmas = o.sigmas(settings.pick("sigma", sigma, _DEFAULT_SIGMAS))
    seeds = o.seeds(settings.pick("seed", seed, _DEFAULT_SEEDS))
    asked = o.check_workers(settings.maybe("workers", workers, int))

    # torch and Ray take seconds to import: bad input is told first.
    from rsbench.data.registry import load_dataset
    from rsbench.jobs.estimate import estimate_sweep
    from rsbench.jobs.planning import CertifyOptions
    from rsbench.jobs.sweep import SweepOptions, plan_sweep, run_sweep
    from rsbench.store.store import Store

    data = load_dataset(settings.pick("dataset", dataset, "digits"), settings.path("data_root", data_root))
    device = o.device_name(settings.maybe("device", device, str))
    worker_count = o.default_workers(device) if asked is None else asked
    options = SweepOptions(
        methods=methods,
        sigmas=sigmas,
        seeds=seeds,
        epochs=settings.pick("epochs", epochs, 30),
        architecture=settings.maybe("architecture", architecture, str),
        certify=CertifyOptions(
            images=settings.maybe("images", images, str),
            n_select=settings.pick("n0", n0, 100),
            n_estimate=settings.maybe("n", n, int),
            failure_probability=settings.pick("alpha", alpha, 0.001),
            batch_size=settings.maybe("batch_size", batch_size, int),
            noise_arithmetic=o.noise_arithmetic(settings.maybe("noise_arithmetic", noise_arithmetic, str)),
            precision=o.precision(settings.pick("precision", precision, "fp32"), device),
            channels_last=settings.maybe("channels_last", channels_last, bool),
            torch_compile=settings.pick("compile", compile, False),
            mixed_devices=settings.pick("mixed_devices", mixed_devices, False),
            device=device,
        ),
    )
    planned = plan_sweep(options, data)
    location = o.database(db)
    if dry_run:
        with Store.look_into(location) as store:
            estimate = estimate_sweep(store, o.home(), data, planned, workers=worker_count, say=say)
            tell_estimate(estimate, json)
        return
    with Store.create_or_open(location) as store:
        finished = run_sweep(store, o.home(), data, planned, workers=worker_count, watcher=ProgressLine())
    tell_finished(finished, json)
