"""A single run with all its details, as a table for a terminal and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from rsbench.records import ClaimRecord, CurveRecord, ImageColumns, Provenance, RunDetails, RunRecord, TrainingRecord
from rsbench.report.numbers import budget_text, json_number
from rsbench.report.ranking import annotation_text
from rsbench.report.run_facts import (
    TIER_TEXT,
    arithmetic_text,
    curve_text,
    threat_model_of,
    unknown_certificate_text,
)
from rsbench.specs import CheckpointHeader, normalisation_text
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.rounding import floor_decimal
from rsbench.votes_format import decode_votes


@dataclass(frozen=True, eq=False)
class RunView:
    """All that a store has about a run."""

    run: RunRecord
    details: RunDetails
    training: TrainingRecord | None
    """The trial that made the checkpoint; None for an external checkpoint and for an imported run."""

    header: CheckpointHeader | None
    """What the checkpoint is; None for an imported run."""

    images: ImageColumns | None
    """The results of the images, None where they were not requested."""


def read_run(store: Store, name: str, *, with_images: bool, with_votes: bool) -> RunView:
    """Read the run whose fingerprint starts with `name`, and its images if requested.

    Raises UsageError when no run or several match.
    """
    run = store.run(name)
    sha256 = run.checkpoint_sha256
    return RunView(
        run,
        store.details(run.id),
        None if sha256 is None else store.training_of_checkpoint(sha256),
        None if sha256 is None else store.checkpoints(sha256_prefix=sha256)[0].header,
        store.image_columns(run.id, with_votes=with_votes) if with_images else None,
    )


def run_json(view: RunView) -> dict[str, Any]:
    """Return a run as plain JSON values."""
    run, details, training = view.run, view.details, view.training
    return {
        "run": run.fingerprint,
        "tier": run.tier,
        "state": "open" if run.curve is None else "sealed",
        "claim": None if details.claim is None else asdict(details.claim),
        "seal": run.seal,
        "spec": run.spec.model_dump(mode="json"),
        "dataset": asdict(run.dataset),
        "checkpoint": None if view.header is None else view.header.model_dump(mode="json"),
        "certificate": _certificate_json(run),
        "images_done": run.done,
        "images": run.image_count,
        "curves": [_curve_json(curve) for curve in details.curves],
        "notes": list(run.notes),
        "source": run.source,
        "annotations": [asdict(annotation) for annotation in run.annotations],
        "provenances": [asdict(provenance) for provenance in details.provenances],
        "created_at": run.created_at,
        "sealed_at": run.sealed_at,
        "worker_seconds": run.worker_seconds,
        "training": None if training is None else _training_json(training),
        "results": [] if view.images is None else _images_json(view.images),
    }


def run_table(view: RunView) -> Table:
    """Return the facts of a run as a table of two columns."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    run = view.run
    rows = [*_identity(run, view.details.claim), *_certificate(run), *_curves(run, view.details), *_origin(view)]
    rows += [("annotation", annotation_text(annotation)) for annotation in run.annotations]
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def images_table(images: ImageColumns) -> Table:
    """Return a table with a row for each image. Radii are rounded down."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ["image", "label", "predicted", "radius"] + ([] if images.sigma_N is None else ["σ"]):
        table.add_column(heading, justify="right")
    for i in range(len(images)):
        predicted = "abstain" if images.predicted_N[i] < 0 else str(images.predicted_N[i])
        sigma = [] if images.sigma_N is None else [f"{images.sigma_N[i]:g}"]
        radius = _radius_text(float(images.radius_N[i]))
        table.add_row(str(images.index_N[i]), str(images.label_N[i]), predicted, radius, *sigma)
    return table


def _certificate_json(run: RunRecord) -> dict[str, Any]:
    certificate = CERTIFICATES.get(run.certificate)
    if certificate is None:
        return {"name": run.certificate, "known": False}
    return {
        "name": certificate.name,
        "known": True,
        "source": certificate.source,
        "norms": list(certificate.norms),
        "ball": certificate.ball,
        "threat_model": threat_model_of(run),
        "condition": certificate.condition,
    }


def _curve_json(curve: CurveRecord) -> dict[str, Any]:
    values = {name: value for name, value in asdict(curve).items() if name != "id"}
    return values | {"average_certified_radius": json_number(curve.average_certified_radius)}


def _training_json(training: TrainingRecord) -> dict[str, Any]:
    return {
        "spec": training.spec.model_dump(mode="json"),
        "provenance": asdict(training.provenance),
        "finished_at": training.finished_at,
        "epochs": [asdict(epoch) for epoch in training.epochs],
    }


def _images_json(images: ImageColumns) -> list[dict[str, Any]]:
    """Return each image with its votes: selection, then each prefix, by class."""
    votes = None if images.votes is None else decode_votes(images.votes).tolist()
    sigmas = None if images.sigma_N is None else images.sigma_N.tolist()
    columns = (images.index_N, images.label_N, images.predicted_N, images.radius_N)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        {
            "index": index,
            "label": label,
            "predicted": None if predicted < 0 else predicted,
            "radius": json_number(radius),
            **({} if sigmas is None else {"sigma": sigmas[i]}),
            "votes": None if votes is None else votes[i],
        }
        for i, (index, label, predicted, radius) in enumerate(rows)
    ]


def _identity(run: RunRecord, claim: ClaimRecord | None) -> list[tuple[str, str]]:
    at_work = "no process works on it"
    if claim is not None:
        at_work = f"process {claim.process} on {claim.host} has worked on it since {claim.since}"
    state = f"sealed {run.sealed_at}"
    if run.sealed_at is None:
        state = f"open: {run.done} of {run.image_count} images; {at_work}"
    votes = f"exact: one for each of the {run.spec.measure.levels} splits"
    if run.n_estimate is not None:
        votes = budget_text(run.n_select, run.n_estimate, run.failure_probability) + " (one-sided)"
    noise = f", noise seed {run.seed}" if run.seed is not None else ""
    arithmetic = arithmetic_text(run)
    return [
        ("run", run.fingerprint),
        ("state", state),
        *([("seal", run.seal)] if run.seal else []),
        ("tier", TIER_TEXT[run.tier] if run.tier.startswith("imported") else run.tier),
        ("method", f"{run.method}, σ = {run.sigma:g}{noise}"),
        ("votes", votes),
        *([("arithmetic", arithmetic)] if arithmetic else []),
    ]


def _certificate(run: RunRecord) -> list[tuple[str, str]]:
    certificate = CERTIFICATES.get(run.certificate)
    notes = [("note", note) for note in run.notes]
    if certificate is None:
        return [("certificate", unknown_certificate_text(run.certificate).removeprefix("certificate ")), *notes]
    return [
        ("certificate", f"{certificate.name} ({certificate.source})"),
        ("holds for", f"{' and '.join(certificate.norms)}, {certificate.ball} ball, {threat_model_of(run)}"),
        ("needs", certificate.condition),
        *notes,
    ]


def _curves(run: RunRecord, details: RunDetails) -> list[tuple[str, str]]:
    rows = []
    for curve in details.curves:
        rows += [
            ("curve", curve_text(curve)),
            ("correct", f"{curve.correct} of {run.image_count} ({curve.abstained} abstentions count as wrong)"),
            ("mean radius", _radius_text(curve.average_certified_radius)),
        ]
    return rows


def _origin(view: RunView) -> list[tuple[str, str]]:
    run, training = view.run, view.training
    rows = [("dataset", f"{run.dataset.name} {run.dataset.fingerprint[:12]}, images {run.images}")]
    if run.checkpoint_sha256 is not None:
        rows.append(("checkpoint", run.checkpoint_sha256))
    if view.header is not None:
        rows += [
            ("architecture", view.header.architecture),
            ("normalisation", normalisation_text(view.header.mean, view.header.std)),
        ]
    if run.source is not None:
        rows.append(("imported from", run.source))
    if training:
        last = training.epochs[-1]
        rows.append(
            ("trained", f"{len(training.epochs)} epochs, loss {last.loss:.3f}, finished {training.finished_at}")
        )
    for provenance in view.details.provenances:
        rows += _provenance(provenance)
    if view.details.provenances:
        rows.append(("in", f"{run.worker_seconds:.1f} worker seconds"))
    return rows


def _provenance(provenance: Provenance) -> list[tuple[str, str]]:
    git = "no git checkout" if provenance.git_revision is None else provenance.git_revision[:12]
    return [
        ("computed by", f"rsbench {provenance.rsbench_version}, {git}{', dirty' if provenance.git_dirty else ''}"),
        ("on", provenance.device),
        ("with", ", ".join(f"{name} {version}" for name, version in provenance.versions.items())),
    ]


def _radius_text(radius: float) -> str:
    return floor_decimal(radius, 4)
