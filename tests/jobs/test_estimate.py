"""How much work is missing, and how long it takes: what is kept of a bench, and which result speaks for a run."""

from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.jobs.certify import run_certification
from rsbench.jobs.estimate import estimate_runs
from rsbench.jobs.options import CertifyOptions
from rsbench.jobs.planning import plan_run
from rsbench.jobs.speeds import (
    ExpectedSpeed,
    MeasuredSpeed,
    SpeedRecord,
    load_speeds,
    matching_speed,
    save_speed,
    total_batches,
    total_votes,
)
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.device import describe_device
from rsbench.records import Chunk
from rsbench.specs import CertificationSpec
from tests.fixtures.trained import Interrupter, store_with
from tests.fixtures.untrained import INFO, header, spec

SPEED = MeasuredSpeed(describe_device("cpu"), 100.0, 40.0, 0.4, {}, 0.25, 1, None)


def kept(home: Path, *results: tuple[CertificationSpec, MeasuredSpeed]) -> list[SpeedRecord]:
    """What can be read after these benches of mlp."""
    for of_spec, speed in results:
        save_speed(home, header(), of_spec, speed)
    return load_speeds(home, pytest.fail)


def test_a_chunk_fills_its_last_batch() -> None:
    run = spec(n=250, batch_size=64)
    chunks = [Chunk(0, tuple(range(8))), Chunk(1, (8,))]
    # 8 · 270 votes in 33.75 batches, 270 in 4.2.
    assert (total_votes(run, chunks), total_batches(run, chunks)) == (9 * 270, 34 + 5)


def test_a_result_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    [result] = kept(tmp_path, (spec(), SPEED))
    assert (result.architecture, result.shape, result.family) == ("mlp", INFO.shape, "gaussian")
    # Passes that fill batches take their time too.
    assert result.passes_per_second == pytest.approx(50.0)
    assert result.options["batch_size"] == 64
    assert result.options["precision"] == "fp32"
    [again] = kept(tmp_path, (spec(n=1000, seed=3), replace(SPEED, votes_per_second=80.0)))
    assert again.passes_per_second == pytest.approx(100.0)
    assert again.name == result.name


def test_a_result_speaks_for_runs_of_its_network_device_and_options(tmp_path: Path) -> None:
    results = kept(tmp_path, (spec(), SPEED), (spec(batch_size=32), replace(SPEED, device="another")))
    assert matching_speed(results, "mlp", INFO.shape, spec(n=9000, images="0:3:1", chunk_images=2)) == next(
        result for result in results if result.device == SPEED.device
    )
    assert matching_speed(results, "cnn", INFO.shape, spec()) is None
    assert matching_speed(results, "mlp", (1, 3, 4), spec()) is None
    assert matching_speed(results, "mlp", INFO.shape, spec(batch_size=32)) is None
    assert matching_speed(results, "mlp", INFO.shape, spec(device="cuda")) is None


def test_a_result_of_the_same_noise_is_preferred_to_a_newer_one(tmp_path: Path) -> None:
    results = kept(tmp_path, (spec("uniform"), SPEED), (spec("cohen"), SPEED))
    for method, family in (("uniform", "uniform"), ("cohen", "gaussian"), ("ssn", "gaussian")):
        found = matching_speed(results, "mlp", INFO.shape, spec(method))
        assert found is not None
        assert found.family == family


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b"{}", b'{"passes_per_second": 1}'],
)
def test_a_file_that_is_no_result_is_told_and_passed_over(content: bytes, tmp_path: Path) -> None:
    kept(tmp_path, (spec(), SPEED))
    (tmp_path / "bench" / "x.json").write_bytes(content)
    told: list[str] = []
    assert len(load_speeds(tmp_path, told.append)) == 1
    [line] = told
    assert line.startswith(f"{tmp_path}/bench/x.json cannot be read as a result of rsbench bench: remove it")


@pytest.mark.parametrize(
    ("field", "value"),
    [("passes_per_second", "0"), ("passes_per_second", "NaN"), ("measured_at", '"2026-01-01T00:00:00"'), ("more", "1")],
)
def test_a_result_that_cannot_be_is_told(field: str, value: str, tmp_path: Path) -> None:
    [result] = kept(tmp_path, (spec(), SPEED))
    [file] = (tmp_path / "bench").iterdir()
    file.write_text(result.canonical_json()[:-1].replace(f'"{field}":', '"_":') + f',"{field}":{value}}}')
    told: list[str] = []
    assert load_speeds(tmp_path, told.append) == []
    assert len(told) == 1


def test_no_more_workers_are_busy_than_there_are_batches() -> None:
    run, chunks = spec(n=250), [Chunk(0, tuple(range(8))), Chunk(1, (8,))]
    bench = ExpectedSpeed("mlp", "bench", 64.0, "")
    store = ExpectedSpeed("mlp", "store", 270.0, "")
    assert [bench.seconds(run, chunks, workers) for workers in (0, 1, 2, 99)] == [39.0, 39.0, 19.5, 1.0]
    assert store.seconds(run, chunks, 1) == 9.0
    assert ExpectedSpeed("mlp", None, None, "").seconds(run, chunks, 1) is None


def test_only_what_is_missing_of_a_begun_run_counts(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    options = CertifyOptions(images="first:120", n_select=64, n_estimate=250)
    whole = plan_run(trained["uniform"], "x", digits, options)
    plan = replace(whole, spec=whole.spec.model_copy(update={"chunk_images": 50}))
    with store_with(tmp_path, digits, trained["uniform"]) as store:
        before = estimate_runs(store, tmp_path, digits, [plan], workers=1, say=pytest.fail)
        # Chunks of 50, 50 and 20 images: 15.3, 15.3 and 6.1 batches.
        assert (before.images, before.batches) == (120, 16 + 16 + 7)
        with pytest.raises(KeyboardInterrupt):
            run_certification(store, digits, [plan], workers=0, listener=Interrupter(after=50))
        after = estimate_runs(store, tmp_path, digits, [plan], workers=1, say=pytest.fail)
        assert (after.runs, after.images, after.passes, after.batches) == (1, 70, 70 * 314, 16 + 7)
        assert after.padding == 23 * 1024 - 70 * 314
