"""Certified accuracy as a function of the radius: step curves, exact at every radius that they hold."""

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

MOST_STEPS = 200
MOST_WITH_RUNS = 24

CURVE_COLUMNS = (
    "group", "standing", "dataset", "images", "method", "title", "variant", "certificate", "norm", "ball", "budget",
    "sigma", "line", "seeds", "radius", "certified_accuracy",
)  # fmt: skip


def curve_frame(runs: Sequence[RunRecord], norm: str, steps: Mapping[int, StepCurve]) -> pd.DataFrame:
    """The curves of sealed runs whose certificate holds in `norm`: one row a point. `steps`: by the curve's id.

    `line` is "mean" for the mean over the seeds of a configuration, else the fingerprint of a single run; a
    configuration of one seed has only its mean. `seeds` lists the seeds of the line between spaces. A line begins at
    radius 0 and ends at certified accuracy 0. Between its points an open ball's curve keeps the value of the point
    before (`step-after`), a closed ball's takes that of the point after (`step-before`).

    A line of more than MOST_STEPS steps is thinned to that many, each as low as the lowest that it stands for.
    Raises UsageError for an unknown norm.
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
        for line in _lines(configuration, protocol, norm, steps)
    ]
    if not lines:
        return pd.DataFrame(columns=list(CURVE_COLUMNS))
    # One frame of all lines: hundreds of small ones would take seconds to put together.
    facts = pd.DataFrame([line.facts for line in lines])
    frame = facts.loc[facts.index.repeat([len(line.radii) for line in lines])].reset_index(drop=True)
    frame["radius"] = np.concatenate([line.radii for line in lines])
    frame["certified_accuracy"] = np.concatenate([line.values for line in lines])
    return frame[list(CURVE_COLUMNS)]


def uncrowded(frame: pd.DataFrame) -> pd.DataFrame:
    """The curves without those of single runs, where so many means are to be drawn that these would hide them."""
    is_mean = frame["line"] == "mean"
    # Every line begins at radius 0 once.
    crowded = int((is_mean & (frame["radius"] == 0.0)).sum()) > MOST_WITH_RUNS
    return frame[is_mean] if crowded else frame


def step_curve(runs: Sequence[RunRecord], steps: Mapping[int, StepCurve]) -> tuple[FloatArray, FloatArray]:
    """The steps of the mean certified accuracy of runs of one configuration: radii, ascending from 0, and values.

    See `curve_frame` for what lies between the points.
    """
    curves = [steps[curve_of(run).id] for run in runs]
    return points_of(curves, sum(run.image_count for run in runs), certificate_of(runs[0]).ball)


def points_of(curves: Sequence[StepCurve], images: int, ball: Ball) -> tuple[FloatArray, FloatArray]:
    """The points of the mean of curves that are of so many images together."""
    corners = np.unique(np.concatenate([[0.0], *(curve.radius_M for curve in curves)]))
    if ball == "closed":
        # At the last radius a closed ball still certifies: the curve falls to 0 right after it.
        corners = np.append(corners, np.nextafter(corners[-1], np.inf))
    counts = np.sum([certified_counts(curve, corners, ball) for curve in curves], axis=0)
    return _thinned(corners, counts / images, ball)


def _thinned(radii: FloatArray, values: FloatArray, ball: Ball) -> tuple[FloatArray, FloatArray]:
    if len(radii) <= MOST_STEPS:
        return radii, values
    # The first and the last point stand for themselves, the others in stretches of nearly equal length.
    bounds = np.unique(np.linspace(1, len(radii) - 1, MOST_STEPS - 1).round().astype(np.int64))
    first = np.concatenate([[0], bounds])
    last = np.concatenate([[0], bounds[1:] - 1, [len(radii) - 1]])
    # Values fall, so that of a stretch's last point is its lowest. It is drawn over the whole stretch: rightwards from
    # its first radius for an open ball, leftwards from its last radius for a closed one.
    return radii[first if ball == "open" else last], values[last]


@dataclass(frozen=True, eq=False)
class _Line:
    """What is the same for all points of a line, and its points."""

    facts: dict[str, object]
    radii: FloatArray
    values: FloatArray


def _lines(configuration: Configuration, protocol: Protocol, norm: str, steps: Mapping[int, StepCurve]) -> list[_Line]:
    """The mean of a configuration, and its runs where they are several."""
    runs = configuration.runs
    lines: list[tuple[str, Sequence[RunRecord]]] = [("mean", runs)]
    if len(runs) > 1:
        lines += [(run.fingerprint, [run]) for run in runs]
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
    found = []
    for name, members in lines:
        seeds = " ".join(str(seed) for run in members if (seed := seed_of(run)) is not None)
        found.append(_Line(shared | {"line": name, "seeds": seeds}, *step_curve(members, steps)))
    return found
