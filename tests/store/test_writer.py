"""Writing is atomic and idempotent, sealed runs never change, and records are read as they were written."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rsbench.errors import StoreError, UsageError
from rsbench.records import EpochRecord, ImageColumns
from rsbench.specs import CertificationSpec, MeasureSpec, SweepSpec, TrainingSpec
from rsbench.store.store import Store
from tests.fixtures.results import BUDGET, DIGITS, PROVENANCE, certification_of, header_of, part_of, rows_of, write_run

TRIAL = TrainingSpec(
    objective="noise-augmentation",
    dataset="digits",
    dataset_fingerprint=DIGITS.fingerprint,
    architecture="mlp",
    measure=MeasureSpec(family="splitting", sigma=0.5),
    seed=0,
    epochs=2,
    device="cpu",
)
SWEEP = SweepSpec(
    methods=("ssn",),
    dataset="digits",
    dataset_fingerprint=DIGITS.fingerprint,
    architecture="mlp",
    sigmas=(0.5,),
    seeds=(0,),
    epochs=2,
    images="all",
    budget=BUDGET,
)
HEADER = header_of(TRIAL)
EPOCHS = (EpochRecord(1, 1.5, 0.5, 0.1), EpochRecord(2, 0.5, 0.9, 0.1))


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.create_or_open(database) as opened:
        yield opened


def rows_of_run(store: Store, spec: CertificationSpec) -> list[tuple[object, ...]]:
    return rows_of(store, store.run(spec.fingerprint()).id)


def first_images(store: Store, run_id: int, count: int) -> ImageColumns:
    return part_of(store.image_columns(run_id, with_votes=True), slice(count))


def test_run_is_read_as_it_was_written(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 3, images="0:50:1", count=50)
    run = store.run(spec.fingerprint()[:12])
    rows = store.image_columns(run.id)
    details = store.details(run.id)
    assert certification_of(run) == spec
    assert run.dataset == DIGITS
    assert details.provenances == (PROVENANCE,)
    assert (run.seed, run.training_seed, run.done, run.image_count) == (3, 3, 50, 50)
    assert rows.index_N.tolist() == list(range(50))
    assert run.curve is not None
    assert details.curves == (run.curve,)
    radius_M, count_M = np.unique(rows.radius_N[rows.correct_N], return_counts=True)
    curve = store.step_curves([run.curve.id])[run.curve.id]
    np.testing.assert_array_equal(curve.radius_M, radius_M)
    np.testing.assert_array_equal(curve.count_M, count_M)
    assert run.curve.correct == count_M.sum()
    assert run.curve.abstained == (rows.predicted_N < 0).sum()
    assert run.curve.average_certified_radius == pytest.approx((radius_M * count_M).sum() / 50, rel=1e-12)


def test_opening_a_run_again_returns_the_images_that_are_done(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    again = store.open_run(spec, image_count=50)
    assert again.done == frozenset(range(25))
    assert not again.is_sealed
    assert store.sealed_runs() == []
    assert [run.done for run in store.incomplete_runs("digits")] == [25]


def test_incomplete_run_cannot_be_sealed(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run = store.run(spec.fingerprint())
    with pytest.raises(StoreError, match="25/50"):
        store.seal(run.id)
    assert store.sealed_runs() == []


def test_sealed_run_refuses_images_and_a_second_seal(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50)
    run = store.run(spec.fingerprint())
    before = rows_of_run(store, spec)
    further = replace(first_images(store, run.id, 1), index_N=np.array([50]))
    with pytest.raises(StoreError, match="never change"):
        store.write_chunk(run.id, further, seconds=1.0, provenance=PROVENANCE)
    with pytest.raises(StoreError, match="cannot be sealed"):
        store.seal(run.id)
    assert rows_of_run(store, spec) == before


def test_images_for_a_missing_run_are_refused(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    rows = first_images(store, store.run(spec.fingerprint()).id, 5)
    with pytest.raises(StoreError, match="the run with the id 77 is not in the database"):
        store.write_chunk(77, rows, seconds=1.0, provenance=PROVENANCE)


def test_chunks_can_be_written_together_and_in_any_order(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), rows_of_run(store, spec)
    for indices in ([40, 41, 26, 27], [30, 49, 25]):
        more = replace(first_images(store, run.id, len(indices)), index_N=np.array(indices))
        store.write_chunk(run.id, more, seconds=1.0, provenance=PROVENANCE)
    assert [row[0] for row in rows_of_run(store, spec)] == [*range(26), 26, 27, 30, 40, 41, 49]
    assert rows_of_run(store, spec)[:25] == before


def test_images_of_a_long_run_are_read_in_order(store: Store) -> None:
    # More images than are read in one block.
    images = 10_050
    spec = write_run(store, replace(DIGITS, images=images), "ssn", 0.5, 0, images=f"0:{images}:1", count=images)
    run = store.run(spec.fingerprint())
    columns, blocks = store.image_columns(run.id, with_votes=True), list(store.image_blocks(run.id, 999))
    assert columns.index_N.tolist() == list(range(images))
    assert columns.votes == tuple(votes for block in blocks for votes in block.votes or ())
    for name in ("label_N", "predicted_N", "radius_N"):
        expected = np.concatenate([getattr(block, name) for block in blocks]).tolist()
        assert getattr(columns, name).tolist() == expected
        assert getattr(store.image_columns(run.id), name).tolist() == expected


def test_writing_identical_rows_again_has_no_effect(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), rows_of_run(store, spec)
    more = replace(first_images(store, run.id, 4), index_N=np.array([0, 1, 2, 30]))
    assert more.votes is not None
    again = replace(more, votes=more.votes)
    store.write_chunk(run.id, again, seconds=1.0, provenance=PROVENANCE)
    assert rows_of_run(store, spec) == [*before, (30, *before[3][1:])]


@pytest.mark.parametrize(
    ("change", "shown_value"),
    [
        ({"radius_N": 0.125}, "radius 0.125"),
        ({"predicted_N": -1, "label_N": 3}, "predicted None"),
        ({"votes": b"\x01\x02"}, "votes 0102"),
    ],
)
def test_different_row_for_a_stored_image_is_refused_and_both_are_shown(
    store: Store, change: dict[str, Any], shown_value: str
) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), rows_of_run(store, spec)
    stored = part_of(store.image_columns(run.id, with_votes=True), slice(7, 8))
    changed: dict[str, Any] = {
        name: (value,) if name == "votes" else np.array([value]) for name, value in change.items()
    }
    with pytest.raises(StoreError, match=f"image 7 of run {run.fingerprint[:12]} is stored with") as error:
        store.write_chunk(run.id, replace(stored, **changed), seconds=1.0, provenance=PROVENANCE)
    for value in (shown_value, *(getattr(stored, name)[0] for name in change if name != "votes")):
        assert str(value) in str(error.value)
    # None of the chunk's images was added.
    assert rows_of_run(store, spec) == before


def test_seeds_up_to_32_bits_are_stored(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 2**32 - 1, images="0:20:1", count=20)
    run = store.run(spec.fingerprint())
    assert (run.seed, run.training_seed) == (2**32 - 1, 2**32 - 1)


def test_recording_a_trial_twice_stores_it_once(store: Store) -> None:
    store.record_dataset(DIGITS)
    store.record_sweep(SWEEP)
    store.record_sweep(SWEEP)
    for _ in range(2):
        store.record_training(
            TRIAL, sweep=SWEEP, sha256="ab" * 32, path="x", header=HEADER, epochs=EPOCHS, provenance=PROVENANCE
        )
    training = store.training(TRIAL.fingerprint())
    assert training is not None
    assert training.epochs == EPOCHS
    assert training.spec == TRIAL
    assert store.training_of_checkpoint("ab" * 32) == training
    assert store.training_of_checkpoint("cd" * 32) is None


def test_checkpoints_are_selected_by_dataset_method_and_prefix(store: Store) -> None:
    sealed = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    incomplete = write_run(store, DIGITS, "cohen", 0.5, 0, images="0:20:1", count=20, sealed=False)
    assert [c.method for c in store.checkpoints(DIGITS.fingerprint)] == ["cohen", "ssn"]
    assert [c.sha256 for c in store.checkpoints(method="ssn")] == [sealed.checkpoint_sha256]
    assert [c.sha256 for c in store.checkpoints(without_sealed_run=True)] == [incomplete.checkpoint_sha256]
    assert [c.sha256 for c in store.checkpoints(sha256_prefix=sealed.checkpoint_sha256[:10])] == [
        sealed.checkpoint_sha256
    ]
    assert store.checkpoints("no such dataset") == []


def test_prefix_that_matches_no_run_or_is_no_prefix_is_refused(store: Store) -> None:
    write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    with pytest.raises(UsageError, match="0 runs"):
        store.run("0123456789")
    for wrong in ("ab", "nothex"):
        with pytest.raises(UsageError, match="not a run"):
            store.run(wrong)


def test_speed_is_none_without_a_sealed_run(store: Store) -> None:
    assert store.passes_per_second("mlp", "cpu") is None


def test_sealed_runs_are_selected_by_dataset(store: Store) -> None:
    write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    assert store.dataset_names() == ["digits"]
    assert len(store.sealed_runs("digits")) == 1
    assert store.sealed_runs("imagenet") == []


def test_run_that_was_resumed_elsewhere_has_both_provenances(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run = store.run(spec.fingerprint())
    rest = first_images(store, run.id, 25)
    rest = replace(rest, index_N=rest.index_N + 25)
    elsewhere = replace(PROVENANCE, device="another", git_dirty=True)
    store.write_chunk(run.id, part_of(rest, slice(10)), seconds=1.0, provenance=PROVENANCE)
    store.write_chunk(run.id, part_of(rest, slice(10, None)), seconds=1.0, provenance=elsewhere)
    store.seal(run.id)
    assert store.details(run.id).provenances == (PROVENANCE, elsewhere)


def test_trial_that_gave_other_weights_is_stored_beside_the_first(store: Store) -> None:
    store.record_dataset(DIGITS)
    store.record_sweep(SWEEP)
    for sha256 in ("ab" * 32, "cd" * 32):
        store.record_training(
            TRIAL, sweep=SWEEP, sha256=sha256, path="x", header=HEADER, epochs=EPOCHS, provenance=PROVENANCE
        )
    newest, first = store.training(TRIAL.fingerprint()), store.training_of_checkpoint("ab" * 32)
    assert newest is not None
    assert newest.checkpoint_sha256 == "cd" * 32
    assert first is not None
    assert first.checkpoint_sha256 == "ab" * 32
