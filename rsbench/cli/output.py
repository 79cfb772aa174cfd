"""What commands print: data to stdout, messages to stderr."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rsbench.report.numbers import count_text, time_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rsbench.jobs.certify import FinishedRun
    from rsbench.jobs.estimate import Estimate


def print_json(data: dict[str, Any]) -> None:
    """Print a JSON document that begins with the version of the schema."""
    json.dump({"schema": 1} | data, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_rich(*parts: "RenderableType") -> None:
    """Print tables and text: in colour to a terminal, and without colour or line breaks to a pipe."""
    from rich.console import Console

    console = Console(soft_wrap=True) if not sys.stdout.isatty() else Console()
    for part in parts:
        console.print(part)


def say(line: str) -> None:
    """Print a message to stderr."""
    print(line, file=sys.stderr, flush=True)


def print_finished(finished: "Sequence[FinishedRun]", as_json: bool) -> None:
    """Print the runs that a command has sealed, or found sealed."""
    if as_json:
        print_json(
            {
                "runs": [
                    {
                        "run": run.spec.fingerprint(),
                        "method": run.spec.method,
                        "sigma": run.spec.measure.sigma,
                        "checkpoint": run.spec.checkpoint_sha256,
                        "new_images": run.new_images,
                    }
                    for run in finished
                ]
            }
        )
    images = sum(run.new_images for run in finished)
    runs = count_text(len(finished), "run")
    state = f"{images:,} images certified, {runs} sealed" if images else f"nothing is missing: {runs} sealed before"
    say(f"{state}; see rsbench leaderboard --dataset {finished[0].spec.dataset}")


def print_estimate(estimate: "Estimate", as_json: bool) -> None:
    """Print the work that a command would do."""
    if as_json:
        print_json(asdict(estimate))
        return
    print(f"trials to train   {estimate.trials:>14,}   ({estimate.epochs:,} epochs)")
    print(f"runs to certify   {estimate.runs:>14,}")
    print(f"images            {estimate.images:>14,}")
    print(f"forward passes    {estimate.passes:>14,}")
    print(f"batches           {estimate.batches:>14,}   ({estimate.padding:,} more passes fill them)")
    seconds = "unknown" if estimate.seconds is None else time_text(estimate.seconds)
    print(f"certification     {seconds:>14}")
    for speed in estimate.speeds:
        if estimate.seconds is not None or speed.source is None:
            print(f"  {speed.basis}")
