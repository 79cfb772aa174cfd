"""Annotations of sealed runs: what is refused, and what the board shows."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.errors import UsageError
from rsbench.jobs.annotate import annotate
from rsbench.records import AnnotationKind, ImportedRun, RunRecord
from rsbench.report.comparison import check_comparable
from rsbench.report.curves import curve_frame
from rsbench.report.leaderboard import Leaderboard, leaderboard, leaderboard_json
from rsbench.specs import ImportSpec
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, PROVENANCE, certification_of, counts_at, part_of, write_run


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create_or_open(str(tmp_path / "results.db")) as opened:
        yield opened


def written(store: Store, method: str = "ssn", seed: int = 0, *, count: int = 60, sealed: bool = True) -> RunRecord:
    spec = write_run(store, DIGITS, method, 0.5, seed, images=f"0:{count}:1", count=count, sealed=sealed)
    return store.run(spec.fingerprint())


def copied(store: Store, run: RunRecord, *, rows: int = 60) -> RunRecord:
    """Another run with the votes of the first images of this one, and its own for the rest."""
    spec = certification_of(run).model_copy(update={"batch_size": 7})
    opened = store.open_run(spec, image_count=60)
    images = store.image_columns(run.id, with_votes=True)
    store.write_chunk(opened.id, part_of(images, slice(rows)), seconds=1.0, provenance=PROVENANCE)
    if rows < 60:
        other = store.image_columns(written(store, seed=9).id, with_votes=True)
        store.write_chunk(opened.id, part_of(other, slice(rows, 60)), seconds=1.0, provenance=PROVENANCE)
    store.seal(opened.id)
    return store.run(spec.fingerprint())


def annotated(store: Store, run: RunRecord, kind: AnnotationKind, other: RunRecord | None = None) -> RunRecord:
    annotate(store, run, kind, other, reason="wrong normalisation", author="ada")
    return store.run(run.fingerprint)


def board(store: Store) -> Leaderboard:
    runs = store.sealed_runs()
    return leaderboard(runs, counts_at(store, runs, 0.5), norm="l1", radii=["0.5"], incomplete=0)


def ranked(store: Store) -> set[str]:
    return {
        run.fingerprint
        for group in board(store).groups
        for row in group.rows
        for cell in row.all_cells
        for run in cell.configuration.runs
    }


def test_an_annotation_is_kept_on_every_database_and_leaves_the_run_as_it_is(database: str) -> None:
    with Store.create_or_open(database) as store:
        before, other = written(store), written(store, seed=1)
        after = annotated(store, before, "superseded", other)
        (annotation,) = after.annotations
        assert (annotation.kind, annotation.other, annotation.reason, annotation.author) == (
            "superseded", other.fingerprint, "wrong normalisation", "ada",
        )  # fmt: skip
        assert annotation.created_at.startswith("20")
        assert (after.seal, after.curve, after.sealed_at) == (before.seal, before.curve, before.sealed_at)
        assert store.sealed_runs()[0].annotations == (annotation,)
        assert list(store.check(on_checked=lambda fingerprint: None)) == []


def test_an_invalid_run_is_not_ranked_and_the_board_says_why(store: Store) -> None:
    run, other = written(store), written(store, "dssn")
    annotated(store, run, "invalid")
    assert ranked(store) == {other.fingerprint}
    (line,) = board(store).excluded
    assert line.startswith(
        f"run {run.fingerprint[:12]} (ssn, σ 0.5) is not ranked: invalid, wrong normalisation (ada, "
    )
    assert leaderboard_json(board(store))["excluded_from_ranking"] == [line]


def test_a_superseded_run_gives_its_place_to_the_other(store: Store) -> None:
    run, other = written(store), written(store, seed=1)
    annotated(store, run, "superseded", other)
    assert ranked(store) == {other.fingerprint}
    assert f"superseded by {other.fingerprint[:12]}" in board(store).excluded[0]


def test_curves_and_comparisons_leave_invalid_runs_out(store: Store) -> None:
    run, other = written(store), written(store, seed=1)
    annotated(store, run, "invalid")
    runs = store.sealed_runs()
    frame = curve_frame(runs, "l1", store.step_curves([r.curve.id for r in runs if r.curve]))
    assert set(frame["seeds"]) == {"1"}
    with pytest.raises(UsageError, match="is invalid, wrong normalisation"):
        check_comparable(store.run(run.fingerprint), other, None)


def test_equal_votes_reproduce_a_run(store: Store) -> None:
    run = written(store)
    assert annotated(store, run, "reproduced", copied(store, run)).tier == "reproduced"
    assert board(store).excluded == ()


def test_different_votes_do_not_reproduce_a_run_and_the_first_such_image_is_named(store: Store) -> None:
    run = written(store)
    nearly = copied(store, run, rows=40)
    votes, other_votes = (store.image_columns(r.id, with_votes=True).votes or () for r in (run, nearly))
    first = next(i for i in range(60) if votes[i] != other_votes[i])
    with pytest.raises(UsageError, match=f"image {first} has different votes in runs .* and {nearly.fingerprint[:12]}"):
        annotated(store, run, "reproduced", nearly)
    assert store.run(run.fingerprint).annotations == ()


def test_annotations_that_cannot_be_true_are_refused(store: Store) -> None:
    run, unsealed, fewer = written(store), written(store, "cohen", sealed=False), written(store, count=50)
    for other, message in (
        (unsealed, "is not sealed"),
        (run, "is named twice"),
        (fewer, "are on different data or images"),
    ):
        with pytest.raises(UsageError, match=message):
            annotated(store, run, "superseded", other)
    with pytest.raises(UsageError, match="is not sealed"):
        annotated(store, unsealed, "invalid")


def test_two_runs_cannot_supersede_each_other(store: Store) -> None:
    run, other = written(store), written(store, seed=1)
    annotated(store, run, "superseded", other)
    with pytest.raises(UsageError, match="is itself not ranked"):
        annotated(store, other, "superseded", store.run(run.fingerprint))


def test_what_others_computed_stays_imported_when_it_is_found_again(store: Store) -> None:
    rows = store.image_columns(written(store).id, with_votes=True)
    runs = []
    for content in ("a" * 64, "b" * 64):
        spec = ImportSpec(
            source="npz",
            content_sha256=content,
            method="ssn",
            dataset=DIGITS.name,
            dataset_fingerprint="e" * 64,
            images="0:60:1",
            family="splitting",
            sigma=0.5,
            certificate="lee",
            n_estimate=1000,
            failure_probability=0.001,
        )
        imported = ImportedRun(spec, replace(DIGITS, fingerprint="e" * 64), rows, f"{content[0]}.npz")
        (outcome,) = store.import_runs([imported])
        runs.append(store.run(outcome.fingerprint))
    run = annotated(store, runs[0], "reproduced", runs[1])
    assert run.tier == "imported-votes"
    assert [annotation.kind for annotation in run.annotations] == ["reproduced"]
