"""Recertified curves as a table and as JSON."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from rsbench.records import NewCurve, RunRecord
from rsbench.report.numbers import percent_down, radius_text, sigma_text
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.metrics import certified_accuracy
from rsbench.theory.rounding import radius_threshold


def recertified_table(curves: Sequence[tuple[RunRecord, NewCurve]], radii: Sequence[str]) -> Table:
    """A line for each curve: certified accuracy in percent at each radius (as typed), rounded down."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("run", "curve"):
        table.add_column(heading, no_wrap=True)
    for heading in ("clean", *(f"r = {radius}" for radius in radii), "ACR"):
        table.add_column(heading, justify="right", no_wrap=True)
    for run, curve in curves:
        table.add_row(
            Text.assemble(run.fingerprint[:12], (f"\n{run.method} · σ {sigma_text(run.sigma)}", "dim")),
            Text.assemble(f"{_theorem(curve)} · {curve.standing}", (f"\n{_drawn(curve)}", "dim")),
            percent_down(curve.correct / run.image_count),
            *(percent_down(share) for share in _accuracies(run, curve, radii)),
            radius_text(curve.average_certified_radius),
        )
    return table


def recertified_json(run: RunRecord, curve: NewCurve, radii: Sequence[str]) -> dict[str, Any]:
    """The curve at the radii in full precision."""
    return {
        "run": run.fingerprint,
        "certificate": curve.certificate,
        "procedure": curve.procedure,
        "n": curve.n,
        "failure_probability": curve.failure_probability,
        "standing": curve.standing,
        "images": run.image_count,
        "correct": curve.correct,
        "abstained": curve.abstained,
        "average_certified_radius": curve.average_certified_radius,
        "certified_accuracy": [
            {"radius": radius, "value": share}
            for radius, share in zip(radii, _accuracies(run, curve, radii), strict=True)
        ],
    }


def _theorem(curve: NewCurve) -> str:
    return curve.certificate if curve.procedure == "one-versus-rest" else f"{curve.certificate} {curve.procedure}"


def _drawn(curve: NewCurve) -> str:
    return "exact" if curve.failure_probability is None else f"n {curve.n:,} · α {curve.failure_probability:g}"


def _accuracies(run: RunRecord, curve: NewCurve, radii: Sequence[str]) -> list[float]:
    thresholds = [radius_threshold(radius) for radius in radii]
    ball = CERTIFICATES[curve.certificate].ball
    shares: list[float] = certified_accuracy(np.sort(curve.radii), run.image_count, thresholds, ball).tolist()
    return shares
