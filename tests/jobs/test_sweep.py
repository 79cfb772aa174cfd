"""A sweep from end to end: train what is missing, certify what is missing, and keep what is finished."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.data.npz import load_npz
from rsbench.errors import UsageError
from rsbench.jobs.estimate import estimate_sweep
from rsbench.jobs.options import CertifyOptions, CheckpointDescription, SweepOptions
from rsbench.jobs.planning import choose_checkpoints
from rsbench.jobs.sweep import plan_sweep, run_sweep, sweep, training_data, untrained
from rsbench.methods import training_name
from rsbench.store.store import Store
from tests.fixtures.trained import Interrupter, Listener, store_with, stored_rows

OPTIONS = SweepOptions(
    methods=("dssn", "uniform"),
    sigmas=(0.5,),
    seeds=(0, 1),
    epochs=2,
    certify=CertifyOptions(images="first:60", n_select=64, n_estimate=200),
)


def run(store: Store, home: Path, digits: ImageDataset, listener: Listener) -> None:
    run_sweep(store, home, digits, plan_sweep(OPTIONS, digits), workers=2, listener=listener)


@pytest.mark.slow
def test_a_sweep_trains_certifies_and_then_has_nothing_to_do(
    digits: ImageDataset, tmp_path: Path, ray_nodes: str
) -> None:
    with store_with(tmp_path, digits) as store:
        before = estimate_sweep(store, tmp_path, digits, plan_sweep(OPTIONS, digits), workers=2, say=print)
        assert (before.trials, before.epochs, before.runs, before.images) == (4, 8, 4, 240)
        # Two runs of L = ⌊2·√3·0.5·16⌋ = 27 bases, two of 64 + 200 votes.
        assert before.passes == 60 * 2 * (27 + 264)
        assert before.seconds is None

        listener = Listener()
        run(store, tmp_path, digits, listener)
        assert listener.lines == ["training 4 trials: 8 epochs", "end", "certifying: 240 images", "end"]
        assert {(run.method, run.training_seed) for run in store.sealed_runs()} == {
            (method, seed) for method in ("dssn", "uniform") for seed in (0, 1)
        }

        rows = stored_rows(store)
        again = Listener()
        run(store, tmp_path, digits, again)
        assert again.lines == []
        assert stored_rows(store) == rows
        after = estimate_sweep(store, tmp_path, digits, plan_sweep(OPTIONS, digits), workers=2, say=print)
        assert (after.trials, after.runs, after.passes, after.seconds) == (0, 0, 0, 0.0)


@pytest.mark.slow
def test_an_interrupted_sweep_ends_with_the_rows_of_one_never_interrupted(
    digits: ImageDataset, tmp_path: Path, ray_nodes: str
) -> None:
    """Ctrl-C once while training, once while certifying."""
    with store_with(tmp_path / "whole", digits) as store:
        run(store, tmp_path / "whole", digits, Listener())
        whole = stored_rows(store)
    home = tmp_path / "cut"
    with store_with(home, digits) as store:
        for after in (5, 80):
            with pytest.raises(KeyboardInterrupt):
                run(store, home, digits, Interrupter(after=after))
        run(store, home, digits, Listener())
        assert stored_rows(store) == whole


@pytest.mark.slow
def test_a_trial_whose_checkpoint_file_is_gone_is_trained_again_to_the_same_bytes(
    digits: ImageDataset, tmp_path: Path, ray_nodes: str
) -> None:
    plan = plan_sweep(replace(OPTIONS, methods=("dssn",), seeds=(0,)), digits)
    with store_with(tmp_path, digits) as store:
        assert untrained(store, tmp_path, plan.trials) == list(plan.trials)
        run_sweep(store, tmp_path, digits, plan, workers=1, listener=Listener())
        assert untrained(store, tmp_path, plan.trials) == []
        [file] = (tmp_path / "checkpoints").iterdir()
        file.unlink()
        assert untrained(store, tmp_path, plan.trials) == list(plan.trials)
        run_sweep(store, tmp_path, digits, plan, workers=1, listener=Listener())
        assert file.is_file()
        assert len(store.sealed_runs()) == 1


def test_trials_are_the_grid_method_by_method(digits: ImageDataset) -> None:
    specs = plan_sweep(OPTIONS, digits).trials
    assert [(training_name(s), s.seed, s.measure.levels) for s in specs] == [
        ("dssn", 0, 27),
        ("dssn", 1, 27),
        ("uniform", 0, None),
        ("uniform", 1, None),
    ]
    assert [s.measure.offsets_seed for s in specs[:2]] == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, r"--epochs must be at least 1 \(got 0\)"),
        ({"seeds": (2**32,)}, r"--seed must lie between 0 and 4294967295 \(got 4294967296\)"),
        ({"methods": ("dssn", "nosuch")}, "unknown method 'nosuch'"),
        ({"certify": CertifyOptions(n_estimate=5)}, "--n 5 certifies no image"),
        ({"architecture": "vgg"}, "unknown architecture 'vgg': choose from mlp, cnn, wrn40-2, resnet50"),
        ({"architecture": "resnet50"}, "resnet50 takes images of 3 channels, and these have 1"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(
    options: dict[str, Any], message: str, digits: ImageDataset, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        sweep(replace(OPTIONS, **options), digits, str(tmp_path / "x.db"), tmp_path, workers=0, listener=Listener())
    assert list(tmp_path.iterdir()) == []


def test_another_network_makes_another_sweep_of_other_trials(digits: ImageDataset, tmp_path: Path) -> None:
    usual, named, other = (
        plan_sweep(replace(OPTIONS, architecture=name), digits) for name in (None, "mlp", "cnn")
    )  # fmt: skip
    assert usual.spec == named.spec
    assert usual.trials == named.trials
    assert usual.spec.fingerprint() != other.spec.fingerprint()
    assert {trial.architecture for trial in other.trials} == {"cnn"}
    # A cnn is certified in smaller batches.
    with store_with(tmp_path, digits) as store:
        few, more = (estimate_sweep(store, tmp_path, digits, plan, workers=1, say=print) for plan in (usual, other))
    assert few.passes == more.passes
    # One chunk of 60 images with 264 votes or 27 bases: 15.5 and 1.6 batches of 1024 for mlp, 123.8 and 12.7 of 128.
    assert (few.batches, more.batches) == (2 * (16 + 2), 2 * (124 + 13))
    assert {speed.architecture for speed in more.speeds} == {"cnn"}


@pytest.mark.slow
def test_a_network_that_was_trained_is_not_taken_for_another(
    digits: ImageDataset, tmp_path: Path, ray_nodes: str
) -> None:
    options = replace(OPTIONS, methods=("uniform",), seeds=(0,), epochs=1)
    options = replace(options, certify=CertifyOptions(images="first:5", n_select=10, n_estimate=20))
    usual, other = plan_sweep(options, digits), plan_sweep(replace(options, architecture="cnn"), digits)
    with store_with(tmp_path, digits) as store:
        run_sweep(store, tmp_path, digits, usual, workers=1, listener=Listener())
        assert untrained(store, tmp_path, usual.trials) == []
        assert untrained(store, tmp_path, other.trials) == list(other.trials)
        run_sweep(store, tmp_path, digits, other, workers=1, listener=Listener())
        again = Listener()
        run_sweep(store, tmp_path, digits, other, workers=1, listener=again)
        assert again.lines == []
        assert len(store.sealed_runs()) == 2
        for network in ("mlp", "cnn"):
            sought = CheckpointDescription(method="uniform", architecture=network)
            [found] = choose_checkpoints(store, tmp_path, digits, sought, checkpoint=None)
            assert found.header.architecture == network


def test_a_sigma_that_leaves_dssn_one_split_is_refused(digits: ImageDataset) -> None:
    with pytest.raises(UsageError, match=r"sigma 0.02 leaves dssn with 1 splits at q = 16: it needs at least 2"):
        plan_sweep(replace(OPTIONS, sigmas=(0.02,)), digits)


def test_a_data_set_without_training_images_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "test-only.npz"
    np.savez(file, test_images=np.zeros((4, 1, 8, 8), np.uint8), test_labels=np.arange(4))
    with pytest.raises(UsageError, match=r"test-only.npz has no training images: certify a checkpoint of yours"):
        training_data(load_npz(file))
