"""What is written is whole, and what is sealed never changes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rsbench.errors import StoreError, UsageError
from rsbench.records import EpochRecord, ImageResult
from rsbench.specs import CertificationSpec, MeasureSpec, SweepSpec, TrainingSpec
from rsbench.store.store import Store
from tests.fixtures.results import BUDGET, DIGITS, PROVENANCE, write_run

TRIAL = TrainingSpec(
    method="ssn",
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
    sigmas=(0.5,),
    seeds=(0,),
    epochs=2,
    images="all",
    budget=BUDGET,
)
EPOCHS = (EpochRecord(1, 1.5, 0.5, 0.1), EpochRecord(2, 0.5, 0.9, 0.1))


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with Store.create_or_open(database) as opened:
        yield opened


def results_of(store: Store, spec: CertificationSpec) -> list[ImageResult]:
    return store.image_results(store.run(spec.fingerprint()).id)


def test_a_run_comes_back_as_it_was_written(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 3, images="0:50:1", count=50)
    run = store.run(spec.fingerprint()[:12])
    rows = store.image_results(run.id)
    assert CertificationSpec.from_json(run.spec_json) == spec
    assert run.dataset == DIGITS
    assert run.provenances == (PROVENANCE,)
    assert (run.seed, run.training_seed, run.done, run.image_count) == (3, 3, 50, 50)
    assert [row.index for row in rows] == list(range(50))
    assert run.summary is not None
    assert run.radii is not None
    correct = sorted(row.radius for row in rows if row.correct)
    np.testing.assert_array_equal(run.radii, correct)
    assert run.summary.correct == len(correct)
    assert run.summary.abstained == sum(row.predicted is None for row in rows)
    assert run.summary.average_certified_radius == pytest.approx(sum(correct) / 50, rel=1e-12)


def test_opening_a_run_again_tells_what_is_done(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    again = store.open_run(spec, image_count=50)
    assert again.done == frozenset(range(25))
    assert not again.sealed
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
    with pytest.raises(StoreError, match="never change"):
        store.write_chunk(run.id, [replace(before[0], index=50)], seconds=1.0, provenance=PROVENANCE)
    with pytest.raises(StoreError, match="cannot be sealed"):
        store.seal(run.id)
    assert results_of(store, spec) == before


def test_the_same_rows_again_are_nothing(store: Store) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), results_of(store, spec)
    more = replace(before[0], index=30)
    store.write_chunk(run.id, [*before[:3], more], seconds=1.0, provenance=PROVENANCE)
    assert results_of(store, spec) == [*before, more]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"radius": 0.125}, "radius 0.125"),
        ({"predicted": None, "label": 3}, "predicted None"),
        ({"votes": b"\x01\x02"}, "votes 0102"),
    ],
)
def test_another_row_of_a_known_image_is_refused_and_both_are_named(
    store: Store, change: dict[str, Any], told: str
) -> None:
    spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
    run, before = store.run(spec.fingerprint()), results_of(store, spec)
    known = before[7]
    with pytest.raises(StoreError, match=f"image 7 of run {run.id} is there already with") as error:
        store.write_chunk(
            run.id, [replace(known, index=30), replace(known, **change)], seconds=1.0, provenance=PROVENANCE
        )
    for value in (told, *(getattr(known, name) for name in change if name != "votes")):
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
            TRIAL, sweep=SWEEP, sha256="ab" * 32, path="x", header_json="{}", epochs=EPOCHS, provenance=PROVENANCE
        )
    found = store.training(TRIAL.fingerprint())
    assert found is not None
    assert found.epochs == EPOCHS
    assert TrainingSpec.from_json(found.spec_json) == TRIAL
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
    rest = [replace(row, index=row.index + 25) for row in store.image_results(run.id)]
    elsewhere = replace(PROVENANCE, device="another", git_dirty=True)
    store.write_chunk(run.id, rest[:10], seconds=1.0, provenance=PROVENANCE)
    store.write_chunk(run.id, rest[10:], seconds=1.0, provenance=elsewhere)
    store.seal(run.id)
    assert store.run(spec.fingerprint()).provenances == (PROVENANCE, elsewhere)


def test_a_trial_that_gave_other_bytes_stands_beside_the_first(store: Store) -> None:
    store.record_dataset(DIGITS)
    store.record_sweep(SWEEP)
    for sha256 in ("ab" * 32, "cd" * 32):
        store.record_training(
            TRIAL, sweep=SWEEP, sha256=sha256, path="x", header_json="{}", epochs=EPOCHS, provenance=PROVENANCE
        )
    newest, first = store.training(TRIAL.fingerprint()), store.training_of_checkpoint("ab" * 32)
    assert newest is not None
    assert newest.checkpoint_sha256 == "cd" * 32
    assert first is not None
    assert first.checkpoint_sha256 == "ab" * 32
