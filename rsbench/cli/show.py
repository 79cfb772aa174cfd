"""`rsbench show`: one run, whole."""

import json as jsonlib
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from rsbench.cli import options as o
from rsbench.cli.output import print_json, print_rich
from rsbench.records import ImageResult, RunRecord, TrainingRecord
from rsbench.report.configuration import threat_model_of
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.rounding import floor_decimal


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
        training = store.training_of_checkpoint(record.checkpoint_sha256)
        results = store.image_results(record.id) if images else []
    if json:
        print_json(_as_json(record, training, results))
        return
    print_rich(_facts(record, training))
    if images:
        print_rich(_rows(results))


def _as_json(record: RunRecord, training: TrainingRecord | None, results: list[ImageResult]) -> dict[str, Any]:
    return {
        "run": record.fingerprint,
        "state": "sealed" if record.summary else "open",
        "spec": jsonlib.loads(record.spec_json),
        "dataset": asdict(record.dataset),
        "certificate": _certificate(record),
        "images_done": record.done,
        "images": record.image_count,
        "summary": asdict(record.summary) if record.summary else None,
        "provenances": [asdict(provenance) for provenance in record.provenances],
        "created_at": record.created_at,
        "sealed_at": record.sealed_at,
        "worker_seconds": record.worker_seconds,
        "training": None
        if training is None
        else {
            "spec": jsonlib.loads(training.spec_json),
            "provenance": asdict(training.provenance),
            "finished_at": training.finished_at,
            "epochs": [asdict(epoch) for epoch in training.epochs],
        },
        "results": [
            {"index": r.index, "label": r.label, "predicted": r.predicted, "radius": r.radius, "votes": decoded(r)}
            for r in results
        ],
    }


def decoded(result: ImageResult) -> list[list[int]]:
    """The votes of an image: selection, then each prefix, by class."""
    from rsbench.votes_format import decode_votes

    counts: list[list[int]] = decode_votes(result.votes).tolist()
    return counts


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


def _facts(record: RunRecord, training: TrainingRecord | None) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    certificate, summary = CERTIFICATES[record.certificate], record.summary
    threat_model = threat_model_of(record)
    budget = (
        f"every one of the {jsonlib.loads(record.spec_json)['measure']['levels']} bases, exact"
        if record.n_estimate is None
        else f"n0 = {record.n_select}, n = {record.n_estimate}, α = {record.failure_probability:g} (one-sided)"
    )
    rows = [
        ("run", record.fingerprint),
        ("state", f"sealed {record.sealed_at}" if summary else f"open: {record.done} of {record.image_count} images"),
        ("method", f"{record.method}, σ = {record.sigma:g}, noise seed {record.seed}"),
        ("votes", budget),
        ("certificate", f"{certificate.name} ({certificate.source})"),
        ("holds for", f"{' and '.join(certificate.norms)}, {certificate.ball} ball, {threat_model}"),
        ("needs", certificate.condition),
        ("data set", f"{record.dataset.name} {record.dataset.fingerprint[:12]}, images {record.images}"),
        ("checkpoint", record.checkpoint_sha256),
    ]
    if summary:
        rows += [
            ("correct", f"{summary.correct} of {summary.images} ({summary.abstained} abstentions count as wrong)"),
            ("mean radius", floor_decimal(summary.average_certified_radius, 4)),
        ]
    if training:
        last = training.epochs[-1]
        rows.append(
            ("trained", f"{len(training.epochs)} epochs, loss {last.loss:.3f}, finished {training.finished_at}")
        )
    for provenance in record.provenances:
        git = "no git checkout" if provenance.git_revision is None else provenance.git_revision[:12]
        rows += [
            ("computed by", f"rsbench {provenance.rsbench_version}, {git}{', dirty' if provenance.git_dirty else ''}"),
            ("on", provenance.device),
            ("with", ", ".join(f"{name} {number}" for name, number in provenance.versions.items())),
        ]
    rows.append(("in", f"{record.worker_seconds:.1f} worker seconds"))
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def _rows(results: list[ImageResult]) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False)
    for heading in ("image", "label", "predicted", "radius", "top votes", "runner-up"):
        table.add_column(heading, justify="right")
    for r in results:
        predicted = "abstain" if r.predicted is None else str(r.predicted)
        table.add_row(
            str(r.index), str(r.label), predicted, floor_decimal(r.radius, 4), str(r.top_votes), str(r.runner_up_votes)
        )
    return table
