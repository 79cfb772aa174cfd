"""What commands print: data on stdout, prose on stderr."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rsbench.report.numbers import time_text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rsbench.jobs.certify import FinishedRun
    from rsbench.jobs.estimate import Estimate


def print_json(data: dict[str, Any]) -> None:
    """One JSON document, with the schema's version first."""
    json.dump({"schema": 1} | data, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def print_rich(*parts: "RenderableType") -> None:
    """Tables and text: in colour where stdout is a terminal, plain and unbroken where it is a pipe."""
    from rich.console import Console

    console = Console(soft_wrap=True) if not sys.stdout.isatty() else Console()
    for part in parts:
        console.print(part)


def say(line: str) -> None:
    """A line of prose."""
    print(line, file=sys.stderr, flush=True)


def tell_finished(finished: "Sequence[FinishedRun]", as_json: bool) -> None:
    """Which runs a command brought to their seal."""
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
    runs = "1 run" if len(finished) == 1 else f"{len(finished)} runs"
    state = f"{images:,} images certified, {runs} sealed" if images else f"nothing is missing: {runs} sealed before"
    say(f"{state}; see rsbench leaderboard --dataset {finished[0].spec.dataset}")


def tell_estimate(estimate: "Estimate", as_json: bool) -> None:
    """The work that a command would do."""
    if as_json:
        print_json(asdict(estimate))
        return
    print(f"trials to train   {estimate.trials:>14,}   ({estimate.epochs:,} epochs)")
    print(f"runs to certify   {estimate.runs:>14,}")
    print(f"images            {estimate.images:>14,}")
    print(f"forward passes    {estimate.passes:>14,}")
    print(f"batches           {estimate.batches:>14,}   ({estimate.padding:,} more passes fill them)")
    if estimate.seconds is None:
        for speed in estimate.speeds:
            if speed.source is None:
                print(f"certification time: {speed.basis}")
    else:
        by = f"   (by {'; '.join(speed.basis for speed in estimate.speeds)})" if estimate.speeds else ""
        print(f"certification     {time_text(estimate.seconds):>14}{by}")
