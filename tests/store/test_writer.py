"""What is written is whole, and what is sealed never changes."""

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


def results_of(store: Store, spec: CertificationSpec) -> list[tuple[object, ...]]:
    return rows_of(store, store.run(spec.fingerprint()).id)


def first_of(store: Store, run_id: int, count: int) -> ImageColumns:
    return part_of(store.image_columns(run_id, with_votes=True), slice(count))


def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
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
    steps = store.step_curves([run.curve.id])[run.curve.id]
    np.testing.assert_array_equal(steps.radius_M, radius_M)
    np.testing.assert_array_equal(steps.count_M, count_M)
    assert run.curve.correct == count_M.sum()
    assert run.curve.abstained == (rows.predicted_N < 0).sum()
    assert run.curve.average_certified_radius == pytest.approx((radius_M * count_M).sum() / 50, rel=1e-12)


def test_opening_a_run_again_tells_what_is_done(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    again = store.open_run(spec, image_count=50)
    assert again.done == frozenset(range(25))
    assert not again.is_sealed
    assert store.sealed_runs() == []
    assert [run.done for run in store.incomplete_runs("digits")] == [25]


def test_an_incomplete_run_cannot_be_sealed(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run = store.run(spec.fingerprint())
    with pytest.raises(StoreError, match="25/50"):
        store.seal(run.id)
    assert store.sealed_runs() == []


def test_a_sealed_run_takes_no_row_and_no_second_seal(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50)
    run = store.run(spec.fingerprint())
    before = results_of(store, spec)
    further = replace(first_of(store, run.id, 1), index_N=np.array([50]))
    with pytest.raises(StoreError, match="never change"):
        store.write_chunk(run.id, further, seconds=1.0, provenance=PROVENANCE)
    with pytest.raises(StoreError, match="cannot be sealed"):
        store.seal(run.id)
    assert results_of(store, spec) == before


def test_rows_for_an_unknown_run_are_refused(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    rows = first_of(store, store.run(spec.fingerprint()).id, 5)
    with pytest.raises(StoreError, match="there is no run 77"):
        store.write_chunk(77, rows, seconds=1.0, provenance=PROVENANCE)


def test_chunks_that_end_in_any_order_are_written_together(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), results_of(store, spec)
    for indices in ([40, 41, 26, 27], [30, 49, 25]):
        more = replace(first_of(store, run.id, len(indices)), index_N=np.array(indices))
        store.write_chunk(run.id, more, seconds=1.0, provenance=PROVENANCE)
    assert [row[0] for row in results_of(store, spec)] == [*range(26), 26, 27, 30, 40, 41, 49]
    assert results_of(store, spec)[:25] == before


def test_a_long_run_is_read_in_order_with_and_without_votes(store: Store) -> None:
    """Longer than what is read at once."""
    images = 10_050
    spec = write_run(store, replace(DIGITS, images=images), "ssn", 0.5, 0, images=f"0:{images}:1", count=images)
    run = store.run(spec.fingerprint())
    whole, blocks = store.image_columns(run.id, with_votes=True), list(store.image_blocks(run.id, 999))
    assert whole.index_N.tolist() == list(range(images))
    assert whole.votes == tuple(votes for block in blocks for votes in block.votes or ())
    for name in ("label_N", "predicted_N", "radius_N"):
        wanted = np.concatenate([getattr(block, name) for block in blocks]).tolist()
        assert getattr(whole, name).tolist() == wanted
        assert getattr(store.image_columns(run.id), name).tolist() == wanted


def test_the_same_rows_again_are_nothing(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), results_of(store, spec)
    more = replace(first_of(store, run.id, 4), index_N=np.array([0, 1, 2, 30]))
    assert more.votes is not None
    again = replace(more, votes=more.votes)
    store.write_chunk(run.id, again, seconds=1.0, provenance=PROVENANCE)
    assert results_of(store, spec) == [*before, (30, *before[3][1:])]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"radius_N": 0.125}, "radius 0.125"),
        ({"predicted_N": -1, "label_N": 3}, "predicted None"),
        ({"votes": b"\x01\x02"}, "votes 0102"),
    ],
)
def test_another_row_of_a_known_image_is_refused_and_both_are_named(
    store: Store, change: dict[str, Any], told: str
) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), results_of(store, spec)
    known = part_of(store.image_columns(run.id, with_votes=True), slice(7, 8))
    changed: dict[str, Any] = {
        name: (value,) if name == "votes" else np.array([value]) for name, value in change.items()
    }
    with pytest.raises(StoreError, match=f"image 7 of run {run.id} is there already with") as error:
        store.write_chunk(run.id, replace(known, **changed), seconds=1.0, provenance=PROVENANCE)
    for value in (told, *(getattr(known, name)[0] for name in change if name != "votes")):
        assert str(value) in str(error.value)
    # The whole chunk is refused.
    assert results_of(store, spec) == before


def test_seeds_have_32_bits(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 2**32 - 1, images="0:20:1", count=20)
    run = store.run(spec.fingerprint())
    assert (run.seed, run.training_seed) == (2**32 - 1, 2**32 - 1)


def test_a_trial_recorded_twice_stands_once(store: Store) -> None:
    store.record_dataset(DIGITS)
    store.record_sweep(SWEEP)
    store.record_sweep(SWEEP)
    for _ in range(2):
        store.record_training(
            TRIAL, sweep=SWEEP, sha256="ab" * 32, path="x", header=HEADER, epochs=EPOCHS, provenance=PROVENANCE
        )
    found = store.training(TRIAL.fingerprint())
    assert found is not None
    assert found.epochs == EPOCHS
    assert found.spec == TRIAL
    assert store.training_of_checkpoint("ab" * 32) == found
    assert store.training_of_checkpoint("cd" * 32) is None


def test_checkpoints_are_found_by_data_set_method_and_prefix(store: Store) -> None:
    done = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    begun = write_run(store, DIGITS, "cohen", 0.5, 0, images="0:20:1", count=20, sealed=False)
    assert [c.method for c in store.checkpoints(DIGITS.fingerprint)] == ["cohen", "ssn"]
    assert [c.sha256 for c in store.checkpoints(method="ssn")] == [done.checkpoint_sha256]
    assert [c.sha256 for c in store.checkpoints(without_sealed_run=True)] == [begun.checkpoint_sha256]
    assert [c.sha256 for c in store.checkpoints(sha256_prefix=done.checkpoint_sha256[:10])] == [done.checkpoint_sha256]
    assert store.checkpoints("no such data set") == []


def test_a_run_is_named_by_a_prefix_that_only_it_has(store: Store) -> None:
    write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    with pytest.raises(UsageError, match="0 runs"):
        store.run("0123456789")
    for wrong in ("ab", "nothex"):
        with pytest.raises(UsageError, match="not a run"):
            store.run(wrong)


def test_unknown_speed_is_none(store: Store) -> None:
    assert store.passes_per_second("mlp", "cpu") is None


def test_sealed_runs_can_be_narrowed_to_a_data_set(store: Store) -> None:
    write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    assert store.dataset_names() == ["digits"]
    assert len(store.sealed_runs("digits")) == 1
    assert store.sealed_runs("imagenet") == []


def test_a_run_resumed_elsewhere_tells_both_places(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run = store.run(spec.fingerprint())
    rest = first_of(store, run.id, 25)
    rest = replace(rest, index_N=rest.index_N + 25)
    elsewhere = replace(PROVENANCE, device="another", git_dirty=True)
    store.write_chunk(run.id, part_of(rest, slice(10)), seconds=1.0, provenance=PROVENANCE)
    store.write_chunk(run.id, part_of(rest, slice(10, None)), seconds=1.0, provenance=elsewhere)
    store.seal(run.id)
    assert store.details(run.id).provenances == (PROVENANCE, elsewhere)


def test_a_trial_that_gave_other_bytes_stands_beside_the_first(store: Store) -> None:
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
