"""`rsbench bench`: the speed of a network on this machine, and how long a run would take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rsbench.cli import options as o
from rsbench.cli.output import print_json, say
from rsbench.cli.progress import ProgressLine
from rsbench.errors import UsageError
from rsbench.report.numbers import count_text, percent_down, time_text
from rsbench.report.run_facts import network_text

if TYPE_CHECKING:
    from rsbench.jobs.benchmark_settings import SettingSpeed
    from rsbench.jobs.speeds import MeasuredSpeed, RunTime
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
    """Measure the speed of a network and estimate a run's time.

    Without --checkpoint the network is untrained: weights do not change its speed. Only the speed is kept, for the
    --dry-run of other commands.
    """
    if not 0.0 < seconds <= _LONGEST:
        raise UsageError(f"--seconds {seconds:g}: give a number above 0, at most {_LONGEST:g}")
    options = run.certify_options(method=method)

    from rsbench.data.registry import load_dataset
    from rsbench.jobs.benchmark import choose_subject, measure_speed
    from rsbench.jobs.benchmark_settings import compare_settings
    from rsbench.jobs.options import CheckpointDescription, worker_count
    from rsbench.jobs.planning import plan_run
    from rsbench.jobs.speeds import run_time, save_speed
    from rsbench.store.store import Store

    named = None if dataset is None else load_dataset(dataset, files.data_root)
    description = CheckpointDescription(
        method=method, sigma=sigma, architecture=architecture, normalisation=normalisation
    )
    with Store.open_or_empty(o.database(files.db)) as store:
        subject, data = choose_subject(store, o.home(), named, description, checkpoint)
    spec = plan_run(subject, "", data, options).spec
    if settings:
        _print_settings(compare_settings(subject, data, spec, seconds=seconds, listener=ProgressLine()), json)
        return
    speed = measure_speed(subject, data, spec, seconds=seconds, listener=ProgressLine())
    time = run_time(spec, speed, worker_count(run.workers, options.device))
    if json:
        print_json(_as_json(subject.header, checkpoint is not None, spec, speed, time))
    else:
        print("\n".join(_text_lines(subject.header, checkpoint is not None, spec, speed, time)))
    try:
        save_speed(o.home(), subject.header, spec, speed)
    except OSError as error:
        say(f"--dry-run will not use this result: {error.filename or o.home()} cannot be written: {error.strerror}")


def _text_lines(
    header: "CheckpointHeader", is_trained: bool, spec: "CertificationSpec", speed: "MeasuredSpeed", time: "RunTime"
) -> list[str]:
    shape = "×".join(map(str, header.shape))
    network = f"{header.architecture}{'' if is_trained else ' (untrained)'} on {shape}"
    share = percent_down(speed.share_of_bare_speed)
    lines = [
        f"{network}, {header.method}, sigma {header.measure.sigma:g}",
        f"batches of {spec.batch_size:,}, {network_text(spec)}, {speed.device}",
        "",
        f"network alone  {_rate(speed.bare_passes_per_second):>12} forward passes per second",
        f"whole run      {_rate(speed.votes_per_second):>12} votes per second, {share} % of the network alone",
        "",
        "step               µs per vote    share",
    ]
    total = sum(speed.seconds_per_vote_by_step.values())
    for step, seconds in speed.seconds_per_vote_by_step.items():
        lines.append(f"  {step:<16}{1e6 * seconds:>12,.2f}{100.0 * seconds / total:>7.1f} %")
    memory = f"{speed.process_memory / 2**20:,.0f} MiB"
    if speed.gpu_memory is not None:
        memory += f" of this process, {speed.gpu_memory / 2**20:,.0f} MiB on the GPU"
    budget = "" if spec.budget is None else f", n0 = {spec.budget.n_select:,}, n = {spec.budget.n_estimate:,}"
    hours = "" if time.gpu_hours is None else f" ({time.gpu_hours:,.2f} GPU hours)"
    return [
        *lines,
        "",
        f"peak memory    {memory}",
        f"this run       {count_text(time.images, 'image')}{budget}: {time.votes:,} votes",
        f"padding        {100.0 * speed.padding:.1f} % more forward passes, which fill batches",
        f"time           {time_text(time.seconds)}{hours} with {count_text(time.workers, 'worker')} of this speed",
    ]


def _print_settings(measured: Sequence["SettingSpeed"], json: bool) -> None:
    if json:
        print_json({"settings": [
            {
                **setting.spec.model_dump(include={"batch_size", "precision", "channels_last", "torch_compile"}),
                "passes_per_second": setting.passes_per_second,
                "agreement": setting.agreement,
                "error": setting.error or None,
            }
            for setting in measured
        ]})  # fmt: skip
        return
    own = measured[0].passes_per_second
    print(f"{'batch':>7}  {'arithmetic':<29}  {'passes/s':>9}  {'speed-up':>8}  {'same votes':>10}")
    for setting in measured:
        line = f"{setting.spec.batch_size:>7}  {network_text(setting.spec):<29}"
        if setting.passes_per_second is None or own is None:
            print(f"{line}  {setting.error}")
            continue
        agreement = "" if setting.agreement is None else f"{percent_down(setting.agreement)} %"
        speed_up = f"{setting.passes_per_second / own:.2f} ×"
        print(f"{line}  {_rate(setting.passes_per_second):>9}  {speed_up:>8}  {agreement:>10}".rstrip())


def _as_json(
    header: "CheckpointHeader", is_trained: bool, spec: "CertificationSpec", speed: "MeasuredSpeed", time: "RunTime"
) -> dict[str, object]:
    return {
        "architecture": header.architecture,
        "trained": is_trained,
        "shape": list(header.shape),
        "method": header.method,
        "sigma": header.measure.sigma,
        "batch_size": spec.batch_size,
        "noise": spec.noise,
        "precision": spec.precision,
        "channels_last": spec.channels_last,
        "torch_compile": spec.torch_compile,
        "device": speed.device,
        "bare_passes_per_second": speed.bare_passes_per_second,
        "full_votes_per_second": speed.votes_per_second,
        "ratio": speed.share_of_bare_speed,
        "stage_seconds_per_vote": speed.seconds_per_vote_by_step,
        "padding": speed.padding,
        "peak_process_bytes": speed.process_memory,
        "peak_gpu_bytes": speed.gpu_memory,
        "run": {
            "images": time.images,
            "n0": spec.budget and spec.budget.n_select,
            "n": spec.budget and spec.budget.n_estimate,
            "votes": time.votes,
            "workers": time.workers,
            "seconds": time.seconds,
            "gpu_hours": time.gpu_hours,
        },
    }


def _rate(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.2f}"
