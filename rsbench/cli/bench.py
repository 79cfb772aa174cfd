"""`rsbench bench`: how fast a network votes on this machine, and how long a run would take."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, say
from rsbench.cli.progress import ProgressLine
from rsbench.errors import UsageError
from rsbench.report.arithmetic import network_text
from rsbench.report.numbers import count_text, percent_down, time_text

if TYPE_CHECKING:
    from rsbench.jobs.bench import Duration, Speed
    from rsbench.jobs.settings import SettingSpeed
    from rsbench.specs import CertificationSpec, CheckpointHeader

_LONGEST = 600.0


@o.with_option_groups
def bench(
    *,
    dataset: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_DATASET", help="As in certify.", show_default="random images of the network's shape"
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(envvar="RSBENCH_CHECKPOINT", help="A checkpoint file, or the start of a known sha256."),
    ] = None,
    architecture: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_ARCHITECTURE",
            help="Network of an external file, or network to measure untrained.",
            show_default="by dataset, else mlp",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            envvar="RSBENCH_METHOD",
            help="Method of an external file or an untrained network.",
            show_default="cohen, if untrained",
        ),
    ] = None,
    sigma: Annotated[
        float | None,
        typer.Option(
            envvar="RSBENCH_SIGMA",
            help="Sigma of an external file or an untrained network.",
            show_default="0.5, if untrained",
        ),
    ] = None,
    normalisation: o.Normalisation = None,
    run: o.NetworkOptions,
    files: o.FileOptions,
    seconds: Annotated[float, typer.Option(help="How long each of the five measurements takes.")] = 3.0,
    settings: Annotated[
        bool, typer.Option("--settings", help="Compare batch sizes, precisions and memory formats of the network.")
    ] = False,
    json: o.Json = False,
) -> None:
    """Measure the forward passes per second of the network alone and of a whole run, and estimate that run's time.

    Without --checkpoint the network is untrained: weights do not change its speed. Only the speed is kept, for the
    --dry-run of other commands.
    """
    if not 0.0 < seconds <= _LONGEST:
        raise UsageError(f"--seconds {seconds:g}: give a number above 0, at most {_LONGEST:g}")
    options = run.certify_options(method=method)

    from rsbench.data.registry import load_dataset
    from rsbench.jobs.bench import choose_subject, duration, measure_speed
    from rsbench.jobs.bench_results import keep_result
    from rsbench.jobs.checkpoints import CheckpointDescription
    from rsbench.jobs.planning import plan_run
    from rsbench.jobs.settings import compare_settings
    from rsbench.store.store import Store

    named = None if dataset is None else load_dataset(dataset, files.data_root)
    description = CheckpointDescription(
        method=method, sigma=sigma, architecture=architecture, normalisation=normalisation
    )
    with Store.look_into(o.database(files.db)) as store:
        found, data = choose_subject(store, o.home(), named, description, checkpoint)
    spec = plan_run(found, "", data, options).spec
    if settings:
        _tell_settings(compare_settings(found, data, spec, seconds=seconds, watcher=ProgressLine()), json)
        return
    speed = measure_speed(found, data, spec, seconds=seconds, watcher=ProgressLine())
    time = duration(spec, speed, run.worker_count(options.device))
    if json:
        print_json(_as_json(found.header, checkpoint is not None, spec, speed, time))
    else:
        print("\n".join(_told(found.header, checkpoint is not None, spec, speed, time)))
    try:
        keep_result(o.home(), found.header, spec, speed)
    except OSError as error:
        say(f"this result was not kept for --dry-run: {error.filename or o.home()}: {error.strerror}")


def _told(
    header: "CheckpointHeader", trained: bool, spec: "CertificationSpec", speed: "Speed", run: "Duration"
) -> list[str]:
    size = "×".join(map(str, header.shape))
    what = f"{header.architecture}{'' if trained else ' (untrained)'} on {size}, {header.method}"
    computed = f"{network_text(spec)}, {speed.device}"
    lines = [
        f"{what}, sigma {header.measure.sigma:g}, batches of {spec.batch_size}, {computed}",
        "",
        f"bare network   {_rate(speed.bare):>12} passes a second",
        f"the whole way  {_rate(speed.full):>12} votes a second   {percent_down(speed.ratio)} % of the bare network",
        "",
        "stage, on its own   µs a vote    share",
    ]
    total = sum(speed.stages.values())
    for stage, seconds in speed.stages.items():
        lines.append(f"  {stage:<16}{1e6 * seconds:>12,.2f}{100.0 * seconds / total:>8.1f} %")
    memory = f"{speed.process_memory / 2**20:,.0f} MiB"
    if speed.gpu_memory is not None:
        memory += f", {speed.gpu_memory / 2**20:,.0f} MiB of the GPU"
    budget = "" if spec.budget is None else f", n0 = {spec.budget.n_select:,}, n = {spec.budget.n_estimate:,}"
    hours = "" if run.gpu_hours is None else f" ({run.gpu_hours:,.2f} GPU-hours)"
    padding = f"{100.0 * speed.padding:.1f} % more passes that fill batches"
    return [
        *lines,
        "",
        f"peak memory    {memory}",
        f"the run        {count_text(run.images, 'image')}{budget}: {run.votes:,} votes and {padding}",
        f"takes          {time_text(run.seconds)}{hours}, with {count_text(run.workers, 'worker')} of this speed",
    ]


def _tell_settings(measured: Sequence["SettingSpeed"], json: bool) -> None:
    if json:
        print_json({"settings": [
            {
                **one.spec.model_dump(include={"batch_size", "precision", "channels_last", "torch_compile"}),
                "passes_per_second": one.passes_per_second,
                "alike": one.alike,
                "refusal": one.refusal or None,
            }
            for one in measured
        ]})  # fmt: skip
        return
    print("batch   arithmetic                     passes a second   against the first   votes alike")
    own = measured[0].passes_per_second
    for one in measured:
        line = f"{one.spec.batch_size:>5}   {network_text(one.spec):<29}"
        if one.passes_per_second is None or own is None:
            print(f"{line}   {one.refusal}")
            continue
        alike = "" if one.alike is None else f"{percent_down(one.alike)} %"
        print(f"{line}{_rate(one.passes_per_second):>18}{one.passes_per_second / own:>18.2f} ×{alike:>14}")


def _as_json(
    header: "CheckpointHeader", trained: bool, spec: "CertificationSpec", speed: "Speed", run: "Duration"
) -> dict[str, object]:
    measured = asdict(speed)
    return {
        "architecture": header.architecture,
        "trained": trained,
        "shape": list(header.shape),
        "method": header.method,
        "sigma": header.measure.sigma,
        "batch_size": spec.batch_size,
        "noise": spec.noise,
        "precision": spec.precision,
        "channels_last": spec.channels_last,
        "torch_compile": spec.torch_compile,
        "device": measured["device"],
        "bare_passes_per_second": measured["bare"],
        "full_votes_per_second": measured["full"],
        "ratio": measured["ratio"],
        "stage_seconds_per_vote": measured["stages"],
        "padding": measured["padding"],
        "peak_process_bytes": measured["process_memory"],
        "peak_gpu_bytes": measured["gpu_memory"],
        "run": {
            "images": run.images,
            "n0": spec.budget and spec.budget.n_select,
            "n": spec.budget and spec.budget.n_estimate,
            "votes": run.votes,
            "workers": run.workers,
            "seconds": run.seconds,
            "gpu_hours": run.gpu_hours,
        },
    }


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"
