"""Two sealed runs on the same images, compared image by image. Shapes: N images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich import box
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from rsbench.errors import UsageError
from rsbench.methods import title_of
from rsbench.records import BoolArray, FloatArray, ImageColumns, Norm, RunRecord
from rsbench.report.numbers import percent_down, radius_text, seed_text, sigma_text
from rsbench.report.ranking import annotation_text
from rsbench.report.run_facts import certificate_of, curve_of, seed_of, threat_model_of
from rsbench.theory.comparison import Interval, McNemar, exact_mcnemar, holm, paired_bootstrap
from rsbench.theory.metrics import holds
from rsbench.theory.rounding import radius_threshold


@dataclass(frozen=True)
class AtRadius:
    """The certified accuracies of both runs at a radius, and whether their difference can be chance."""

    radius: str
    """As typed."""

    first: float
    second: float
    test: McNemar
    corrected: float
    """The p-value, corrected by Holm's method for all radii of the comparison."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs compared in one norm and under one threat model."""

    first: RunRecord
    second: RunRecord
    norm: Norm
    threat_model: str
    radii: tuple[AtRadius, ...]
    average_radius: Interval | None
    """Difference of the average certified radii, first minus second; None where a radius is infinite."""

    confidence: float
    """Coverage of the interval."""

    resamples: int
    """Bootstrap samples that the interval comes from."""

    seed: int
    """Seed of the bootstrap."""


def check_comparable(first: RunRecord, second: RunRecord, norm: str | None) -> tuple[Norm, str]:
    """Return the norm and the threat model of a comparison. The default norm is the first that both runs share.

    Raises UsageError when the runs are the same run, one is not sealed or is invalid, or they differ in their dataset,
    images, threat model or norms.
    """
    if first.id == second.id:
        raise UsageError(f"run {first.fingerprint[:12]} is named twice: name two runs")
    for run in (first, second):
        if run.curve is None:
            raise UsageError(f"run {run.fingerprint[:12]} is not sealed: run the command that began it again")
        for annotation in run.annotations:
            if annotation.kind == "invalid":
                raise UsageError(f"run {run.fingerprint[:12]} is {annotation_text(annotation)}: compare another run")
    norms, other_norms = certificate_of(first).norms, certificate_of(second).norms
    for noun, value, other in (
        ("dataset", _dataset(first), _dataset(second)),
        ("images", first.images, second.images),
        ("threat model", threat_model_of(first), threat_model_of(second)),
    ):
        if value != other:
            raise UsageError(f"the runs differ in their {noun} ({value}; {other}): compare runs with the same {noun}")
    shared = [choice for choice in norms if choice in other_norms]
    if norm is not None and norm not in shared:
        raise UsageError(f"--norm {norm}: the certificates of these runs share {' and '.join(shared) or 'no norm'}")
    if not shared:
        raise UsageError(
            f"certificate {first.certificate} holds in {' and '.join(norms)}, {second.certificate} in "
            f"{' and '.join(other_norms)}: the runs share no norm"
        )
    return next(choice for choice in shared if norm in (None, choice)), threat_model_of(first)


def compare(
    first: tuple[RunRecord, ImageColumns],
    second: tuple[RunRecord, ImageColumns],
    radii: Sequence[str],
    *,
    norm: str | None = None,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare certified accuracies by McNemar's exact test with Holm's correction, average radii by a paired bootstrap.

    radii: as typed, see `checked_radii`. seed: of the bootstrap.
    Raises UsageError where `check_comparable` does.
    """
    (run_a, images_a), (run_b, images_b) = first, second
    chosen, threat_model = check_comparable(run_a, run_b, norm)
    certified = [(_certified(run_a, images_a, radius), _certified(run_b, images_b, radius)) for radius in radii]
    tests = [exact_mcnemar(a_N, b_N) for a_N, b_N in certified]
    corrected = holm(np.array([test.p_value for test in tests]))
    radii_a_N, radii_b_N = _credited_radii(images_a), _credited_radii(images_b)
    interval = None
    if np.isfinite(radii_a_N).all() and np.isfinite(radii_b_N).all():
        interval = paired_bootstrap(radii_a_N, radii_b_N, seed=seed, confidence=confidence, resamples=resamples)
    return Comparison(
        run_a,
        run_b,
        chosen,
        threat_model,
        tuple(
            AtRadius(radius, float(a_N.mean()), float(b_N.mean()), test, float(p))
            for radius, (a_N, b_N), test, p in zip(radii, certified, tests, corrected, strict=True)
        ),
        interval,
        confidence,
        resamples,
        seed,
    )


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values in full precision."""
    interval = comparison.average_radius
    return {
        "first": _run_json(comparison.first),
        "second": _run_json(comparison.second),
        "norm": comparison.norm,
        "threat_model": comparison.threat_model,
        "images": comparison.first.image_count,
        "radii": [
            {
                "radius": at.radius,
                "first": at.first,
                "second": at.second,
                "difference": at.first - at.second,
                "only_first": at.test.only_first,
                "only_second": at.test.only_second,
                "p_value": at.test.p_value,
                "p_value_holm": at.corrected,
            }
            for at in comparison.radii
        ],
        "average_certified_radius": {
            "difference": None if interval is None else interval.mean,
            "low": None if interval is None else interval.low,
            "high": None if interval is None else interval.high,
            "confidence": comparison.confidence,
            "resamples": comparison.resamples,
            "seed": comparison.seed,
        },
    }


def comparison_table(comparison: Comparison) -> RenderableType:
    """Return a comparison for a terminal: both runs, a row for each radius, and the average certified radii."""
    first = comparison.first
    return Stack(
        Text(f"{first.dataset.name} · {first.image_count:,} images · {comparison.norm}, {comparison.threat_model}"),
        Text(_run_text("A", first), style="dim"),
        Text(_run_text("B", comparison.second), style="dim"),
        _accuracy_table(comparison),
        Text(_average_text(comparison)),
        Text(
            "p: McNemar's exact test on the images that only one run certifies; Holm: corrected for all radii",
            style="dim",
        ),
    )


def _dataset(run: RunRecord) -> str:
    return f"{run.dataset.name} {run.dataset.fingerprint[:12]}"


def _certified(run: RunRecord, images: ImageColumns, radius: str) -> BoolArray:
    return images.correct_N & holds(images.radius_N, radius_threshold(radius), certificate_of(run).ball)


def _credited_radii(images: ImageColumns) -> FloatArray:
    """Return the radius of each image, 0 where it is not classified correctly."""
    return np.where(images.correct_N, images.radius_N, 0.0)


def _run_json(run: RunRecord) -> dict[str, Any]:
    return {"run": run.fingerprint, "method": run.method, "sigma": run.sigma, "certificate": run.certificate}


def _run_text(letter: str, run: RunRecord) -> str:
    certificate = certificate_of(run)
    return (
        f"{letter}  {run.fingerprint[:12]}  {title_of(run.method)}, σ {sigma_text(run.sigma)}, "
        f"seed {seed_text(seed_of(run))}, {certificate.name} ({certificate.ball} ball)"
    )


def _accuracy_table(comparison: Comparison) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for heading in ("radius", "A %", "B %", "A − B", "only A", "only B", "p", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for at in comparison.radii:
        difference = 100.0 * (at.test.only_first - at.test.only_second) / comparison.first.image_count
        table.add_row(
            at.radius,
            percent_down(at.first),
            percent_down(at.second),
            f"{difference:+.1f}",
            f"{at.test.only_first:,}",
            f"{at.test.only_second:,}",
            _p_text(at.test.p_value),
            _p_text(at.corrected),
        )
    return table


def _average_text(comparison: Comparison) -> str:
    averages = [radius_text(curve_of(run).average_certified_radius) for run in (comparison.first, comparison.second)]
    beginning, interval = f"ACR {averages[0]} and {averages[1]}: ", comparison.average_radius
    if interval is None:
        return f"{beginning}not compared, because a radius is infinite"
    return (
        f"{beginning}A − B {interval.mean:+.4f}, {100 * comparison.confidence:g} % interval "
        f"{interval.low:+.4f} to {interval.high:+.4f} ({comparison.resamples:,} paired resamples)"
    )


def _p_text(p_value: float) -> str:
    return f"{p_value:.3f}" if p_value >= 0.001 else f"{p_value:.1e}"
