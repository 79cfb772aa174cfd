"""What bad input gets: one line on stderr that says what to do, the right exit code, and nothing half-written."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.checkpoints import save_checkpoint
from rsbench.models.checkpoint import Checkpoint
from tests.fixtures.commands import refused
from tests.fixtures.trained import store_with


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sweep", "--method is missing: choose from cohen, uniform, uniform++, ssn, split++, dssn"),
        ("sweep --method dsn", "unknown method 'dsn': choose from cohen, uniform"),
        ("sweep --method dssn --dataset digit", "unknown dataset 'digit': choose from digits, fashion-mnist, imagenet"),
        (
            "sweep --method dssn --architecture vgg",
            "unknown architecture 'vgg': choose from mlp, cnn, wrn40-2, resnet50",
        ),
        ("sweep --method dssn --architecture resnet50", "resnet50 takes images of 3 channels, and these have 1"),
        ("certify --dataset digits --architecture vgg", "unknown architecture 'vgg': choose from mlp, cnn, wrn40-2"),
        ("sweep --method dssn --dataset missing.npz", "no file missing.npz"),
        ("sweep --method dssn --sigma 0", "--sigma 0: a standard deviation must be greater than 0"),
        ("sweep --method dssn --sigma=-1", "--sigma -1: a standard deviation must be greater than 0"),
        ("sweep --method dssn --sigma nan", "--sigma nan: a standard deviation must be greater than 0"),
        ("sweep --method dssn --sigma half", "--sigma half: this is not a number: give numbers such as 0.25,0.5"),
        ("sweep --method dssn --sigma ,", "--sigma is empty: give numbers between commas"),
        ("sweep --method dssn --seed 1.5", "--seed 1.5: give whole numbers"),
        ("sweep --method dssn --seed ,", "--seed is empty: give whole numbers between commas"),
        ("sweep --method dssn --seed 4294967296", "--seed must lie between 0 and 4294967295 (got 4294967296)"),
        ("sweep --method dssn --epochs 0", "--epochs must be at least 1 (got 0)"),
        ("sweep --method dssn --epochs ten", "--epochs ten is not valid: give a whole number"),
        ("sweep --method dssn --workers=-1", "--workers -1: give 0 or more"),
        (
            "sweep --method ssn --n 9",
            "--n 9 certifies no image at --alpha 0.001, not even one with a unanimous vote: give at least 10",
        ),
        ("sweep --method ssn --n0 0", "--n0 must be at least 1 (got 0); papers use 100"),
        ("sweep --method ssn --n 99999999999", "--n must be less than 2,147,483,648 (got 99,999,999,999)"),
        ("sweep --method ssn --batch-size 99999999", "--batch-size must lie between 1 and 1,000,000 (got 99,999,999)"),
        ("sweep --method dssn --sigma 1e300", "sigma must lie between 1e-6 and 1e6"),
        ("certify --dataset digits --db :memory:", ":memory: loses all results"),
        ("sweep --method ssn --alpha 1", "--alpha 1 is not a failure probability"),
        ("sweep --method uniform --certificate levine", "--certificate levine is unknown: choose from"),
        ("sweep --method cohen --certificate box", "--certificate box: "),
        ("sweep --method uniform --bounds three", "--bounds three: choose from one-versus-rest, top-two"),
        ("sweep --method dssn --bounds top-two", "--bounds top-two: dssn is exact and needs no bounds"),
        ("sweep --method ssn --images first:0", "--images first:0: '0' is not a positive whole number"),
        ("sweep --method ssn --images some", "--images some: there is no such form and no such file"),
        ("sweep --method ssn --device tpu", "--device tpu: choose from cpu, cuda"),
        ("sweep --method ssn --config missing.toml", "--config missing.toml cannot be read"),
        ("sweep --sigm 1", "No such option: --sigm"),
        ("sweeep", "No such command 'sweeep'"),
        ("certify", "--dataset is missing: choose digits, fashion-mnist, imagenet"),
        ("certify --dataset digits --method nosuch", "unknown method 'nosuch'"),
        ("certify --dataset digits", "no checkpoint of digits is known"),
        ("certify --dataset digits --method uniform", "train one with rsbench sweep --method uniform --dataset digits"),
        ("certify --dataset digits --checkpoint nosuch.pt", "--checkpoint nosuch.pt: there is no such file"),
        ("certify --dataset digits --seed=-1", "--seed must lie between 0 and 4294967295 (got -1)"),
        ("certify --dataset imagenet", "there is no folder data/val: name the folder that holds val/<wnid>/*.JPEG"),
        ("certify --dataset fashion-mnist", "data/FashionMNIST/raw does not hold the four files of Fashion-MNIST"),
        ("certify --dataset digits --db mysql://u:secret@h/d", "mysql databases are not supported"),
        ("leaderboard", "no results yet at"),
        ("leaderboard --json --csv", "--json and --csv exclude each other"),
        ("show abcdef", "no results yet at"),
        ("db current", "there is no database at"),
        ("dashboard --port 0", "--port must lie between 1 and 65535 (got 0)"),
    ],
)
def test_bad_input_is_one_line_with_exit_2(
    arguments: str, message: str, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = refused(arguments, capfd)
    assert message in line
    assert "secret" not in line


def test_a_refused_sweep_leaves_nothing_behind(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refused("sweep --method ssn --n 5", capfd)
    refused("sweep --method dssn --sigma 0.02", capfd)
    refused("sweep --method dssn --batch-size 0", capfd)
    refused("certify --dataset digits --method ssn", capfd)
    assert not home.exists()


def test_unknown_keys_and_types_of_a_config_file_are_refused(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "sweep.toml"
    for text, message in (
        ("methd = 'dssn'", "unknown key 'methd'"),
        ("method = 'dssn'\nepochs = 'ten'", "sweep.toml: epochs = 'ten' is not valid: give a whole number"),
        ("method = 'dssn'\nn0 = true", "sweep.toml: n0 = True is not valid: give a number, a text or a list of them"),
        ("method = 'dssn'\ncompile = 1", "compile = 1 is not valid: give true or false"),
        ("method = 'dssn'\n[sigma]\nvalue = 1", "sigma = {'value': 1} is not valid: give a number"),
        ("dry_run = true", "unknown key 'dry_run': choose from method, dataset"),
        ("method =", "cannot be read"),
    ):
        config.write_text(text)
        assert message in refused(f"sweep --config {config}", capfd)


def test_a_value_of_the_wrong_type_is_refused_with_the_name_of_its_source(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RSBENCH_EPOCHS", "1.5")
    assert "RSBENCH_EPOCHS=1.5 is not valid: give a whole number" in refused("sweep --method dssn", capfd)
    monkeypatch.setenv("RSBENCH_COMPILE", "maybe")
    assert "RSBENCH_COMPILE=maybe is not valid: give true or false" in refused("bench", capfd)
    assert "--alpha x is not valid: give a number" in refused("certify --alpha x", capfd)


def test_a_checkpoint_of_another_data_set_measure_or_network_is_refused_before_a_run_begins(
    home: Path, trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = save_checkpoint(trained["ssn"], tmp_path)
    np.savez(tmp_path / "other.npz", test_images=np.zeros((9, 1, 8, 8), np.uint8), test_labels=np.arange(9), q=16)
    assert "belongs to digits" in refused(f"certify --dataset other.npz --checkpoint {file}", capfd)
    assert "was trained by ssn" in refused(f"certify --dataset digits --method dssn --checkpoint {file}", capfd)
    assert "at sigma 0.5, not at 2" in refused(f"certify --dataset digits --sigma 2 --checkpoint {file}", capfd)
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(file.read_bytes()[:1000])
    assert "damaged" in refused(f"certify --dataset digits --checkpoint {damaged}", capfd)
    with store_with(home, digits) as store:
        assert store.incomplete_runs() == []


def test_a_database_that_is_newer_full_or_no_database_ends_with_exit_1(
    home: Path, trained: dict[str, Checkpoint], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to look like a file of some other kind" * 9)
    assert "not a database" in refused(f"leaderboard --db {tmp_path}/text.db", capfd, code=1)
    assert "not a database" in refused(f"db upgrade --db {tmp_path}/text.db", capfd, code=1)
    (tmp_path / "file").write_text("")
    line = refused(f"sweep --method ssn --workers 0 --db {tmp_path}/file/results.db", capfd, code=1)
    assert "cannot be created" in line


@pytest.mark.parametrize(
    "arguments",
    [
        "certify --dataset mine.npz --checkpoint {file} --method ssn --sigma 0.5 --workers 0",
        "certify --dataset mine.npz --checkpoint {file} --method ssn --sigma 0.5 --dry-run",
        "sweep --dataset mine.npz --method ssn",
        "bench --dataset mine.npz",
    ],
)
def test_pixels_outside_the_unit_cube_are_refused_before_anything_begins(
    arguments: str, home: Path, trained: dict[str, Checkpoint], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((9, 1, 8, 8))
    images[4, 0, 2, 2] = 1.25
    np.savez("mine.npz", test_images=images, test_labels=np.arange(9), train_images=images, train_labels=np.arange(9))
    file = save_checkpoint(trained["ssn"], tmp_path)
    line = refused(arguments.format(file=file), capfd)
    assert (
        "mine.npz: test image 4 has a pixel of 1.25, and pixels must lie in [0,1]: divide all images by the largest"
        in line
    )
    assert not home.exists()


def test_a_run_whose_images_went_bad_is_not_verified(
    home: Path, trained: dict[str, Checkpoint], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).random((9, 1, 8, 8))
    checkpoint = trained["ssn"].network(torch.device("cpu")).get_submodule("backbone").state_dict()
    torch.save(checkpoint, "mine.pt")
    np.savez("mine.npz", test_images=images, test_labels=np.arange(9), classes=10)
    described = "--dataset mine.npz --checkpoint mine.pt --method ssn --sigma 0.5 --normalisation none"
    assert run(f"certify {described} --n 100 --workers 0 --force --json".split()) == 0
    [found] = json.loads(capfd.readouterr().out)["runs"]
    images[4, 0, 2, 2] = np.nan
    np.savez("mine.npz", test_images=images, test_labels=np.arange(9), classes=10)
    for command in ("verify {run} --data-root . --workers 0", "recertify {run} --certificate box-image --data-root ."):
        assert "mine.npz: test image 4 has a pixel of nan" in refused(command.format(run=found["run"][:12]), capfd)
