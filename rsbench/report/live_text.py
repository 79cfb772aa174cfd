"""A live curve beside the run's own, for a page: points to draw, numbers to read, and names."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pandas as pd

from rsbench.methods import title_of
from rsbench.records import RunRecord, StepCurve
from rsbench.report.configuration import curve_of, seed_of
from rsbench.report.curves import points_of
from rsbench.report.live import Asked
from rsbench.report.numbers import difference_text, percent_down, radius_text, sigma_text, thresholds
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.metrics import certified_counts
from rsbench.theory.recertification import Question

OWN, ASKED = "declared by the run", "asked for now"


def run_label(run: RunRecord) -> str:
    """A run in a list of runs: data set, method, σ, seed and fingerprint."""
    seed = seed_of(run)
    told = "" if seed is None else f" · seed {seed}"
    return f"{run.dataset.name} · {title_of(run.method)} · σ {sigma_text(run.sigma)}{told} · {run.fingerprint[:12]}"


def live_frame(asked: Asked) -> pd.DataFrame:
    """Both curves as points: `line` is OWN or ASKED, for the rest see `rsbench.report.curves.curve_frame`."""
    run = asked.live.run
    parts = [
        (OWN, asked.live.known.declared, asked.live.own),
        (ASKED, asked.question, asked.steps),
    ]
    frames = []
    for line, question, steps in parts:
        ball = CERTIFICATES[question.certificate].ball
        radii, values = points_of([steps], run.image_count, ball)
        facts = {"line": line, "curve": question_text(question), "ball": ball, "radius": radii}
        frames.append(pd.DataFrame(facts | {"certified_accuracy": values}))
    return pd.concat(frames, ignore_index=True)


def live_table(asked: Asked, radii: Sequence[str]) -> pd.DataFrame:
    """The numbers of both curves and their differences, as text: shares in percent, all rounded down.

    radii: as typed. Raises UsageError for a radius that is none.
    """
    run, own, at = asked.live.run, curve_of(asked.live.run), thresholds(radii)
    counts = [
        [own.correct, *_certified(asked.live.own, at, asked.live.known.declared)],
        [asked.curve.correct, *_certified(asked.steps, at, asked.question)],
    ]
    names = ["Clean", *(f"r = {radius}" for radius in radii)]
    told = [(OWN, asked.live.known.declared), (ASKED, asked.question)]
    rows: dict[str, list[str]] = {"Curve": [f"{line}  \n:small[:gray[{question_text(asks)}]]" for line, asks in told]}
    rows["Curve"].append("difference")
    for name, before, after in zip(names, *counts, strict=True):
        gain = Fraction(100 * (after - before), run.image_count)
        shares = [percent_down(count / run.image_count) for count in (before, after)]
        rows[name] = [*shares, difference_text(gain, 1)]
    averages = (own.average_certified_radius, asked.curve.average_certified_radius)
    gained = difference_text(Fraction(averages[1]) - Fraction(averages[0]), 3) if np.isfinite(averages).all() else "–"
    rows["ACR"] = [*map(radius_text, averages), gained]
    rows["Abstentions"] = [f"{own.abstained:,}", f"{asked.curve.abstained:,}"]
    rows["Abstentions"].append(difference_text(Fraction(asked.curve.abstained - own.abstained), 0))
    return pd.DataFrame(rows)


def question_text(question: Question) -> str:
    """What a curve is of, as in `box · top-two · n 1,000 · α 1e-05`."""
    if question.failure_probability is None:
        return f"{question.certificate} · exact"
    drawn = f"n {question.n:,} · α {question.failure_probability:g}"
    return f"{question.certificate} · {question.procedure} · {drawn}"


def _certified(steps: StepCurve, at: Sequence[float], question: Question) -> list[int]:
    counts: list[int] = certified_counts(steps, list(at), CERTIFICATES[question.certificate].ball).tolist()
    return counts
