"""`rsbench show`: one run, whole."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich
from rsbench.data.dataset import normalisation_text
from rsbench.records import ClaimRecord, CurveRecord, ImageColumns, RunDetails, RunRecord, TrainingRecord
from rsbench.report.annotations import annotation_text
from rsbench.report.arithmetic import arithmetic_text
from rsbench.report.configuration import TIER_TEXT, curve_text, threat_model_of
from rsbench.report.numbers import budget_text
from rsbench.specs import CheckpointHeader
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.rounding import floor_decimal
from rsbench.votes_format import decode_votes


def show(
    run: Annotated[str, typer.Argument(help="The start of a run's fingerprint, at least 4 digits.")],
    images: Annotated[bool, typer.Option("--images", help="A line for every image too.")] = False,
    db: o.Database = None,
    json: o.Json = False,
) -> None:
    """Print a run: what was asked, where it comes from, what came out."""
    from rsbench.store.store import Store

    with Store.open_existing(o.database(db)) as store:
        record = store.run(run)
        sha256 = record.checkpoint_sha256
        training = None if sha256 is None else store.training_of_checkpoint(sha256)
        header = None if sha256 is None else store.checkpoints(sha256_prefix=sha256)[0].header
        details = store.details(record.id)
        rows = store.image_columns(record.id, with_votes=json) if images else None
        # Within the store, so that a damaged file is told as such and not as an error of ours.
        if json:
            print_json(_as_json(record, details, header, training, rows))
        else:
            print_rich(_facts(record, details, header, training), *([] if rows is None else [_rows(rows)]))


def _as_json(
    record: RunRecord,
    details: RunDetails,
    header: CheckpointHeader | None,
    training: TrainingRecord | None,
    rows: ImageColumns | None,
) -> dict[str, Any]:
    return {
        "run": record.fingerprint,
        "tier": record.tier,
        "state": "open" if record.curve is None else "sealed",
        "claim": None if details.claim is None else asdict(details.claim),
        "seal": record.seal,
        "spec": record.spec.model_dump(mode="json"),
        "dataset": asdict(record.dataset),
        "certificate": _certificate(record),
        "images_done": record.done,
        "images": record.image_count,
        "curves": [_curve_json(curve) for curve in details.curves],
        "notes": list(record.notes),
        "source": record.source,
        "annotations": [asdict(annotation) for annotation in record.annotations],
        "provenances": [asdict(provenance) for provenance in details.provenances],
        "created_at": record.created_at,
        "sealed_at": record.sealed_at,
        "worker_seconds": record.worker_seconds,
        "checkpoint": None if header is None else header.model_dump(mode="json"),
        "training": None
        if training is None
        else {
            "spec": training.spec.model_dump(mode="json"),
            "provenance": asdict(training.provenance),
            "finished_at": training.finished_at,
            "epochs": [asdict(epoch) for epoch in training.epochs],
        },
        "results": [] if rows is None else _rows_json(rows),
    }


def _curve_json(curve: CurveRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(curve).items() if name not in ("id", "certified")}


def _rows_json(rows: ImageColumns) -> list[dict[str, Any]]:
    """Each image with its votes: selection, then each prefix, by class."""
    votes = None if rows.votes is None else decode_votes(rows.votes).tolist()
    sigmas = None if rows.sigma_N is None else rows.sigma_N.tolist()
    columns = zip(
        *(column.tolist() for column in (rows.index_N, rows.label_N, rows.predicted_N, rows.radius_N)), strict=True
    )
    return [
        {
            "index": index,
            "label": label,
            "predicted": None if predicted < 0 else predicted,
            "radius": radius,
            **({} if sigmas is None else {"sigma": sigmas[i]}),
            "votes": None if votes is None else votes[i],
        }
        for i, (index, label, predicted, radius) in enumerate(columns)
    ]


def _certificate(record: RunRecord) -> dict[str, Any]:
    certificate = CERTIFICATES[record.certificate]
    return {
        "name": certificate.name,
        "source": certificate.source,
        "norms": list(certificate.norms),
        "ball": certificate.ball,
        "threat_model": threat_model_of(record),
        "condition": certificate.condition,
    }


def _facts(
    record: RunRecord, details: RunDetails, header: CheckpointHeader | None, training: TrainingRecord | None
) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = [
        *_identity(record, details.claim),
        *_certified(record, details),
        *_origin(record, details, header, training),
    ]
    rows += [("annotation", annotation_text(said)) for said in record.annotations]
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _identity(record: RunRecord, claim: ClaimRecord | None) -> list[tuple[str, str]]:
    at_work = "nobody is at work on it"
    if claim is not None:
        at_work = f"process {claim.process} on {claim.host} is at work on it since {claim.since}"
    open_state = f"open: {record.done} of {record.image_count} images; {at_work}"
    votes = (
        f"every one of the {record.spec.measure.levels} bases, exact"
        if record.n_estimate is None
        else budget_text(record.n_select, record.n_estimate, record.failure_probability) + " (one-sided)"
    )
    noise = f", noise seed {record.seed}" if record.seed is not None else ""
    return [
        ("run", record.fingerprint),
        ("state", open_state if record.sealed_at is None else f"sealed {record.sealed_at}"),
        *([("seal", record.seal)] if record.seal else []),
        ("tier", record.tier if record.tier in ("measured", "reproduced") else TIER_TEXT[record.tier]),
        ("method", f"{record.method}, σ = {record.sigma:g}{noise}"),
        ("votes", votes),
        *([("arithmetic", arithmetic)] if (arithmetic := arithmetic_text(record)) else []),
    ]


def _certified(record: RunRecord, details: RunDetails) -> list[tuple[str, str]]:
    certificate = CERTIFICATES[record.certificate]
    rows = [
        ("certificate", f"{certificate.name} ({certificate.source})"),
        ("holds for", f"{' and '.join(certificate.norms)}, {certificate.ball} ball, {threat_model_of(record)}"),
        ("needs", certificate.condition),
        *(("note", note) for note in record.notes),
    ]
    for curve in details.curves:
        rows += [
            ("curve", curve_text(curve)),
            ("correct", f"{curve.correct} of {record.image_count} ({curve.abstained} abstentions count as wrong)"),
            ("mean radius", floor_decimal(curve.average_certified_radius, 4)),
        ]
    return rows


def _origin(
    record: RunRecord, details: RunDetails, header: CheckpointHeader | None, training: TrainingRecord | None
) -> list[tuple[str, str]]:
    rows = [("dataset", f"{record.dataset.name} {record.dataset.fingerprint[:12]}, images {record.images}")]
    if record.checkpoint_sha256 is not None:
        rows.append(("checkpoint", record.checkpoint_sha256))
    if header is not None:
        rows += [
            ("architecture", header.architecture),
            ("normalisation", normalisation_text(header.mean, header.std)),
        ]
    if record.source is not None:
        rows.append(("imported from", record.source))
    if training:
        last = training.epochs[-1]
        rows.append(
            ("trained", f"{len(training.epochs)} epochs, loss {last.loss:.3f}, finished {training.finished_at}")
        )
    for provenance in details.provenances:
        git = "no git checkout" if provenance.git_revision is None else provenance.git_revision[:12]
        rows += [
            ("computed by", f"rsbench {provenance.rsbench_version}, {git}{', dirty' if provenance.git_dirty else ''}"),
            ("on", provenance.device),
            ("with", ", ".join(f"{name} {number}" for name, number in provenance.versions.items())),
        ]
    if details.provenances:
        rows.append(("in", f"{record.worker_seconds:.1f} worker seconds"))
    return rows


def _rows(images: ImageColumns) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    headings = ["image", "label", "predicted", "radius"] + ([] if images.sigma_N is None else ["σ"])
    for heading in headings:
        table.add_column(heading, justify="right")
    for i in range(len(images)):
        predicted = "abstain" if images.predicted_N[i] < 0 else str(images.predicted_N[i])
        sigma = [] if images.sigma_N is None else [f"{images.sigma_N[i]:g}"]
        radius = floor_decimal(float(images.radius_N[i]), 4)
        table.add_row(str(images.index_N[i]), str(images.label_N[i]), predicted, radius, *sigma)
    return table
