"""Recertified curves for people: the table of `rsbench recertify`, and the Recertify page of the dashboard."""

import shlex
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from rsbench.methods import place_of, title_of
from rsbench.recertification import CurveRequest, CurveResult, RunVotes
from rsbench.records import CurveRecord, RunRecord, StepCurve
from rsbench.report.curves import points_of
from rsbench.report.numbers import difference_text, json_number, percent_down, radius_text, sigma_text, thresholds
from rsbench.report.ranking import ranked
from rsbench.report.run_facts import curve_of, seed_of
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.metrics import certified_counts

# Names of the two curves of the page.
DECLARED, REQUESTED = "declared by the run", "computed now"

_ALPHAS = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 5e-6, 2e-6, 1e-6)


def recertified_table(results: Sequence[CurveResult], radii: Sequence[str]) -> Table:
    """Return a table for a terminal with a row for each curve. Shares are in percent, and all numbers rounded down.

    radii: as typed. Raises UsageError when one is not a radius.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("run", "curve"):
        table.add_column(heading, no_wrap=True)
    for heading in ("clean", *(f"r = {radius}" for radius in radii), "ACR"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        run, curve, request = result.run, result.curve, result.request
        theorem = request.certificate
        if request.procedure != "one-versus-rest":
            theorem += f" {request.procedure}"
        table.add_row(
            Text.assemble(run.fingerprint[:12], (f"\n{run.method} · σ {sigma_text(run.sigma)}", "dim")),
            Text.assemble(f"{theorem} · {curve.standing}", (f"\n{_budget_text(request)}", "dim")),
            percent_down(curve.correct / run.image_count),
            *(percent_down(count / run.image_count) for count in _counts(result.step_curve, radii, request)),
            radius_text(curve.average_certified_radius),
        )
    return table


def recertified_json(result: CurveResult, radii: Sequence[str]) -> dict[str, Any]:
    """Return a curve as plain JSON values in full precision, with its certified accuracy at radii as typed."""
    run, curve = result.run, result.curve
    counts = _counts(result.step_curve, radii, result.request)
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
        "average_certified_radius": json_number(curve.average_certified_radius),
        "certified_accuracy": [
            {"radius": radius, "value": count / run.image_count} for radius, count in zip(radii, counts, strict=True)
        ],
    }


def selectable_runs(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the runs that may be ranked, each once with its declared curve, by dataset, method, σ and seed."""
    declared = [run for run in ranked(runs) if curve_of(run).is_primary]
    return sorted(
        declared,
        key=lambda run: (
            run.dataset.name, place_of(run.method), run.sigma, seed_of(run) or 0, run.fingerprint,
        ),
    )  # fmt: skip


def initial_run(runs: Sequence[RunRecord]) -> RunRecord:
    """Return the first run for which other curves can be computed, or the first one where there is none."""
    sampled = (run for run in runs if run.tier != "imported-radii" and run.failure_probability is not None)
    return next(sampled, runs[0])


def run_label(run: RunRecord) -> str:
    """Return a run's line in a list of runs: dataset, method, σ, seed and fingerprint."""
    seed = "" if seed_of(run) is None else f" · seed {seed_of(run)}"
    return f"{run.dataset.name} · {title_of(run.method)} · σ {sigma_text(run.sigma)}{seed} · {run.fingerprint[:12]}"


def fixed_curve_reason(votes: RunVotes) -> str | None:
    """Return why no other curve of a run can be computed; None where one can."""
    declared = votes.declared
    if declared.failure_probability is not None:
        return None
    return (
        f"Run {votes.run.fingerprint[:12]} is exact: {declared.certificate} counts all {declared.n:,} votes of an "
        f"image, and is the only certificate for {votes.run.family}. There is no other bound, n or α to choose."
    )


def selectable_certificates(votes: RunVotes, norm: str) -> list[str]:
    """Return the certificates of a norm that the page can compute, the declared one first."""
    names = [name for name in _certificates_in(votes, norm) if _page_objection(votes, name) is None]
    return sorted(names, key=lambda name: name != votes.declared.certificate)


def certificate_objections(votes: RunVotes, norm: str) -> list[str]:
    """Return why the page cannot compute the other certificates of a norm for the run's noise, a line for each."""
    objections = (_page_objection(votes, name) for name in _certificates_in(votes, norm))
    return [objection for objection in objections if objection is not None]


def selectable_alphas(votes: RunVotes) -> list[float]:
    """Return the failure probabilities to choose from, largest first. The declared one is among them."""
    declared = votes.declared.failure_probability
    return sorted({*_ALPHAS, *(() if declared is None else (declared,))}, reverse=True)


def stored_curve(result: CurveResult, runs: Sequence[RunRecord]) -> CurveRecord | None:
    """Return the curve of the store that answers the same request, if one of `runs` has it."""
    request = result.request
    for run in runs:
        curve = curve_of(run)
        same_request = (curve.certificate, curve.procedure, curve.n, curve.failure_probability) == (
            request.certificate, request.procedure, request.n, request.failure_probability,
        )  # fmt: skip
        if run.fingerprint == result.run.fingerprint and same_request:
            return curve
    return None


def recertify_command(result: CurveResult, database: str | None = None) -> str:
    """Return the command that stores a curve. `database`: its --db option, None for the default database."""
    declared, request = result.votes.declared, result.request
    words = ["rsbench", "recertify", result.run.fingerprint[:12], "--certificate", request.certificate]
    if request.procedure != declared.procedure:
        words += ["--bounds", request.procedure]
    if request.n != declared.n:
        words += ["--n", str(request.n)]
    if request.failure_probability not in (None, declared.failure_probability):
        words += ["--alpha", repr(request.failure_probability)]
    return shlex.join([*words, *(["--db", database] if database else [])])


def paired_frame(declared: StepCurve, result: CurveResult) -> pd.DataFrame:
    """Return the points of the declared curve and of a computed one.

    `line` is DECLARED or REQUESTED. The other columns are those of `rsbench.report.curves.curve_frame`.
    """
    frames = []
    for line, request, curve in (
        (DECLARED, result.votes.declared, declared),
        (REQUESTED, result.request, result.step_curve),
    ):
        ball = CERTIFICATES[request.certificate].ball
        radii, shares = points_of([curve], result.run.image_count, ball)
        facts = {"line": line, "curve": request_text(request), "ball": ball, "radius": radii}
        frames.append(pd.DataFrame(facts | {"certified_accuracy": shares}))
    return pd.concat(frames, ignore_index=True)


def paired_table(declared: StepCurve, result: CurveResult, radii: Sequence[str]) -> pd.DataFrame:
    """Return the numbers of both curves and their differences as text. Shares are in percent, all rounded down.

    radii: as typed. Raises UsageError when one is not a radius.
    """
    run, own, computed = result.run, curve_of(result.run), result.curve
    declared_counts = [own.correct, *_counts(declared, radii, result.votes.declared)]
    computed_counts = [computed.correct, *_counts(result.step_curve, radii, result.request)]
    lines = ((DECLARED, result.votes.declared), (REQUESTED, result.request))
    rows = {"Curve": [*(f"{line}  \n:small[:gray[{request_text(request)}]]" for line, request in lines), "difference"]}
    headings = ["Clean", *(f"r = {radius}" for radius in radii)]
    for heading, before, after in zip(headings, declared_counts, computed_counts, strict=True):
        gain = Fraction(100 * (after - before), run.image_count)
        rows[heading] = [
            *(percent_down(count / run.image_count) for count in (before, after)),
            difference_text(gain, 1),
        ]
    averages = (own.average_certified_radius, computed.average_certified_radius)
    gain_text = (
        difference_text(Fraction(averages[1]) - Fraction(averages[0]), 3) if np.isfinite(averages).all() else "–"
    )
    rows["ACR"] = [*map(radius_text, averages), gain_text]
    more_abstentions = difference_text(Fraction(computed.abstained - own.abstained), 0)
    rows["Abstentions"] = [f"{own.abstained:,}", f"{computed.abstained:,}", more_abstentions]
    return pd.DataFrame(rows)


def request_text(request: CurveRequest) -> str:
    """Describe a request, as in `box · top-two · n 1,000 · α 1e-05`."""
    if request.failure_probability is None:
        return f"{request.certificate} · exact"
    return f"{request.certificate} · {request.procedure} · {_budget_text(request)}"


def _budget_text(request: CurveRequest) -> str:
    alpha = request.failure_probability
    return "exact" if alpha is None else f"n {request.n:,} · α {alpha:g}"


def _certificates_in(votes: RunVotes, norm: str) -> list[str]:
    return [name for name in votes.certificates if norm in CERTIFICATES[name].norms]


def _page_objection(votes: RunVotes, certificate: str) -> str | None:
    if CERTIFICATES[certificate].looks_at_images:
        return f"{certificate} needs the pixels of the images, which the dashboard does not read: use rsbench recertify"
    return votes.objection(certificate)


def _counts(curve: StepCurve, radii: Sequence[str], request: CurveRequest) -> list[int]:
    ball = CERTIFICATES[request.certificate].ball
    counts: list[int] = certified_counts(curve, thresholds(radii), ball).tolist()
    return counts
