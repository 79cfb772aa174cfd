"""Curves of certified accuracy over the radius, as points of step functions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rsbench.errors import UsageError
from rsbench.records import NORMS, Ball, FloatArray, RunRecord, StepCurve
from rsbench.report.configuration import Configuration, configurations
from rsbench.report.ranking import Protocol, protocol_of, ranked
from rsbench.report.run_facts import certificate_of, curve_of, seed_of
from rsbench.theory.metrics import certified_counts

# A line with more steps is thinned.
MOST_STEPS = 200
# If there are more means than this, single runs are not drawn.
MOST_WITH_RUNS = 24

CURVE_COLUMNS = (
    "group", "standing", "dataset", "images", "method", "title", "variant", "certificate", "norm", "ball", "budget",
    "sigma", "line", "seeds", "radius", "certified_accuracy",
)  # fmt: skip


def curve_frame(runs: Sequence[RunRecord], norm: str, step_curves: Mapping[int, StepCurve]) -> pd.DataFrame:
    """Return the curves of the ranked ones of sealed runs whose certificate holds in a norm: a row for each point.

    step_curves: whole curves, by the curve's id.

    `line` is "mean" for the mean over the seeds of a configuration, otherwise the fingerprint of a single run. A
    configuration with one seed has only its mean. `seeds` lists the seeds of the line, separated by spaces. A line
    begins at radius 0 and ends at certified accuracy 0. Between two points, the curve of an open ball has the value of
    the point before (`step-after`), that of a closed ball the value of the point after (`step-before`).

    A line with more than MOST_STEPS steps is thinned to that many. A step that stands for several has their lowest
    value. Raises UsageError when the norm is unknown.
    """
    if norm not in NORMS:
        raise UsageError(f"unknown norm {norm!r}: choose from {', '.join(NORMS)}")
    by_protocol: dict[Protocol, list[RunRecord]] = defaultdict(list)
    for run in ranked(runs):
        if norm in certificate_of(run).norms:
            by_protocol[protocol_of(run)].append(run)
    lines = [
        line
        for protocol, members in by_protocol.items()
        for configuration in configurations(members)
        for line in _lines(configuration, protocol, norm, step_curves)
    ]
    if not lines:
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    # All lines are put into one frame at once. To concatenate hundreds of small frames would take seconds.
    facts = pd.DataFrame([line.facts for line in lines])
    frame = facts.loc[facts.index.repeat([len(line.radii) for line in lines])].reset_index(drop=True)
    frame["radius"] = np.concatenate([line.radii for line in lines])
    frame["certified_accuracy"] = np.concatenate([line.values for line in lines])
    return frame[list(CURVE_COLUMNS)]


def uncrowded(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a curve frame without single runs if these would hide its means, because there are many."""
    is_mean = frame["line"] == "mean"
    # Every line begins at radius 0 once.
    crowded = int((is_mean & (frame["radius"] == 0.0)).sum()) > MOST_WITH_RUNS
    return frame[is_mean] if crowded else frame


def mean_points(runs: Sequence[RunRecord], step_curves: Mapping[int, StepCurve]) -> tuple[FloatArray, FloatArray]:
    """Return the points of the mean certified accuracy of runs of one configuration: radii from 0 on, and values.

    `curve_frame` explains the values between the points.
    """
    curves = [step_curves[curve_of(run).id] for run in runs]
    return points_of(curves, sum(run.image_count for run in runs), certificate_of(runs[0]).ball)


def points_of(curves: Sequence[StepCurve], images: int, ball: Ball) -> tuple[FloatArray, FloatArray]:
    """Return the points of the mean of curves. `images` is how many images they have together."""
    corners = np.unique(np.concatenate([[0.0], *(curve.radius_M for curve in curves)]))
    if ball == "closed":
        # A closed ball still certifies at the last radius. The curve falls to 0 right after it.
        corners = np.append(corners, np.nextafter(corners[-1], np.inf))
    counts = np.sum([certified_counts(curve, corners, ball) for curve in curves], axis=0)
    return _thinned(corners, counts / images, ball)


def _thinned(radii: FloatArray, values: FloatArray, ball: Ball) -> tuple[FloatArray, FloatArray]:
    if len(radii) <= MOST_STEPS:
        return radii, values
    # The first and the last point are kept. The others are grouped into stretches of nearly equal length.
    bounds = np.unique(np.linspace(1, len(radii) - 1, MOST_STEPS - 1).round().astype(np.int64))
    first = np.concatenate([[0], bounds])
    last = np.concatenate([[0], bounds[1:] - 1, [len(radii) - 1]])
    # Values fall, so that the last point of a stretch has its lowest value. This value is drawn over the whole stretch:
    # rightwards from the first radius for an open ball, leftwards from the last radius for a closed one.
    return radii[first if ball == "open" else last], values[last]


@dataclass(frozen=True, eq=False)
class _Line:
    """A line of a chart."""

    facts: dict[str, object]
    """Columns with the same value at all points."""

    radii: FloatArray
    values: FloatArray


def _lines(
    configuration: Configuration, protocol: Protocol, norm: str, step_curves: Mapping[int, StepCurve]
) -> list[_Line]:
    """Return the mean of a configuration, and its runs if there are several."""
    runs = configuration.runs
    members_by_line: dict[str, Sequence[RunRecord]] = {"mean": runs}
    if len(runs) > 1:
        members_by_line |= {run.fingerprint: [run] for run in runs}
    entry = configuration.entry
    shared = {
        "group": protocol.heading,
        "standing": protocol.standing,
        "dataset": protocol.dataset,
        "images": protocol.images,
        "method": entry.method,
        "title": entry.title,
        "variant": entry.label,
        "certificate": entry.certificate,
        "norm": norm,
        "ball": entry.theorem.ball,
        "budget": entry.budget,
        "sigma": configuration.sigma,
    }
    lines = []
    for name, members in members_by_line.items():
        seeds = " ".join(str(seed) for run in members if (seed := seed_of(run)) is not None)
        lines.append(_Line(shared | {"line": name, "seeds": seeds}, *mean_points(members, step_curves)))
    return lines
