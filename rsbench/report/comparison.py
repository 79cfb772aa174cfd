"""Two sealed runs on the same images, compared image by image. Shapes: N images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rsbench.errors import UsageError
from rsbench.records import BoolArray, FloatArray, ImageColumns, RunRecord
from rsbench.report.annotations import annotation_text
from rsbench.report.configuration import certificate_of, threat_model_of
from rsbench.theory.certificate import Norm
from rsbench.theory.comparison import Interval, McNemar, exact_mcnemar, holm, paired_bootstrap
from rsbench.theory.rounding import radius_threshold


@dataclass(frozen=True)
class AtRadius:
    """Certified accuracies at a radius, which images tell them apart, and whether that can be chance.

    `corrected` is the p-value corrected by Holm for all radii of the comparison.
    """

    radius: str
    first: float
    second: float
    test: McNemar
    corrected: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """What two runs say of the same images in one norm and under one threat model.

    `average_radius` is the difference of the average certified radii, first minus second, between the limits of a
    bootstrap over images.
    """

    first: RunRecord
    second: RunRecord
    norm: Norm
    threat_model: str
    radii: tuple[AtRadius, ...]
    average_radius: Interval
    confidence: float
    resamples: int
    seed: int


def check_comparable(first: RunRecord, second: RunRecord, norm: str | None) -> tuple[Norm, str]:
    """The norm and the threat model of a comparison: without a `norm`, the first that both certificates hold in.

    Raises UsageError when the runs are not sealed, invalid or one and the same, or when they are on other data or
    images, hold in no common norm, or under other threat models.
    """
    if first.id == second.id:
        raise UsageError(f"run {first.fingerprint[:12]} is named twice: name two runs")
    for run in (first, second):
        if run.curve is None:
            raise UsageError(f"run {run.fingerprint[:12]} is not sealed: the command that began it finishes it")
        for said in run.annotations:
            if said.kind == "invalid":
                raise UsageError(f"run {run.fingerprint[:12]} is {annotation_text(said)}: compare another")
    for what, one, other in (
        ("data sets", _dataset(first), _dataset(second)),
        ("images", first.images, second.images),
        ("threat models", threat_model_of(first), threat_model_of(second)),
    ):
        if one != other:
            raise UsageError(f"the runs have different {what} ({one}; {other}): only like can be compared with like")
    shared = [n for n in certificate_of(first).norms if n in certificate_of(second).norms]
    if norm is not None and norm not in shared:
        raise UsageError(f"--norm {norm}: the certificates of these runs share {' and '.join(shared) or 'no norm'}")
    if not shared:
        raise UsageError(
            f"certificate {first.certificate} holds in {' and '.join(certificate_of(first).norms)}, "
            f"{second.certificate} in {' and '.join(certificate_of(second).norms)}: no norm is common"
        )
    return next(n for n in shared if norm in (None, n)), threat_model_of(first)


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
    """Certified accuracies by McNemar's exact test with Holm's correction, average radii by the paired bootstrap.

    radii: as typed (see `checked_radii`). seed: of the bootstrap's resampling.
    Raises UsageError where `check_comparable` does.
    """
    (run_a, images_a), (run_b, images_b) = first, second
    chosen, threat_model = check_comparable(run_a, run_b, norm)
    certified = [(_certified(run_a, images_a, radius), _certified(run_b, images_b, radius)) for radius in radii]
    tests = [exact_mcnemar(a_N, b_N) for a_N, b_N in certified]
    corrected = holm(np.array([test.p_value for test in tests]))
    return Comparison(
        run_a,
        run_b,
        chosen,
        threat_model,
        tuple(
            AtRadius(radius, float(a_N.mean()), float(b_N.mean()), test, float(p))
            for radius, (a_N, b_N), test, p in zip(radii, certified, tests, corrected, strict=True)
        ),
        paired_bootstrap(
            _credited(images_a), _credited(images_b), seed=seed, confidence=confidence, resamples=resamples
        ),
        confidence,
        resamples,
        seed,
    )


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison in full precision."""
    mean = comparison.average_radius
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
            "difference": mean.mean,
            "low": mean.low,
            "high": mean.high,
            "confidence": comparison.confidence,
            "resamples": comparison.resamples,
            "seed": comparison.seed,
        },
    }


def _dataset(run: RunRecord) -> str:
    return f"{run.dataset.name} {run.dataset.fingerprint[:12]}"


def _certified(run: RunRecord, images: ImageColumns, radius: str) -> BoolArray:
    threshold = radius_threshold(radius)
    holds_N = images.radius_N > threshold if certificate_of(run).ball == "open" else images.radius_N >= threshold
    return images.correct_N & holds_N


def _credited(images: ImageColumns) -> FloatArray:
    return np.where(images.correct_N, images.radius_N, 0.0)


def _run_json(run: RunRecord) -> dict[str, Any]:
    return {"run": run.fingerprint, "method": run.method, "sigma": run.sigma, "certificate": run.certificate}
