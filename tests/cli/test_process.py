"""rsbench as a process of its own: Ctrl-C, pipes, and a photograph tree with ResNet-50."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet50

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint
from rsbench.store.store import Store
from rsbench.votes_format import decode_votes
from tests.fixtures.commands import wait_until
from tests.fixtures.trained import store_with, stored_rows

RSBENCH = [sys.executable, "-m", "rsbench"]


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_the_same_command_ends_with_the_same_bytes(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint], ray_nodes: str, tmp_path: Path
) -> None:
    command = [*RSBENCH, *["certify", "--dataset", "digits", "--method", "uniform", "--n", "5000", "--workers", "2"]]
    environment = os.environ | {"RAY_ADDRESS": ray_nodes}
    store_with(home, digits, trained["uniform"]).close()
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    wait_for_images(home)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "rsbench: interrupted: what is finished is kept, and the same command resumes"
    assert "Traceback" not in told
    with Store.open_existing(str(home / "results.db")) as store:
        assert store.sealed_runs() == []
        assert 0 < store.incomplete_runs()[0].done < 445

    resumed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert resumed.returncode == 0, resumed.stderr
    with Store.open_existing(str(home / "results.db")) as store:
        interrupted = stored_rows(store)

    os.environ["RSBENCH_HOME"] = str(tmp_path / "whole")
    store_with(tmp_path / "whole", digits, trained["uniform"]).close()
    assert run([*command[3:-1], "0"]) == 0
    with Store.open_existing(str(tmp_path / "whole" / "results.db")) as store:
        assert stored_rows(store) == interrupted


def wait_for_images(home: Path) -> None:
    """Return once a chunk is in the store."""

    def begun() -> bool:
        with Store.open_existing(str(home / "results.db")) as store:
            return any(run.done for run in store.incomplete_runs())

    wait_until(begun)


@pytest.mark.slow
def test_resnet50_on_real_photographs(
    home: Path, photographs: Path, tmp_path: Path, ray_nodes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """torchvision's network, untrained (no weights are at hand): what is tested is the way, not the accuracy."""
    file = tmp_path / "resnet50.pth"
    torch.manual_seed(0)
    torch.save(resnet50().state_dict(), file)
    described = f"--checkpoint {file} --normalisation dataset"
    options = f"--dataset imagenet --data-root {photographs} {described} --images every:250 --force"
    sampled = f"certify {options} --method uniform --sigma 0.5 --n0 4 --n 10 --workers 2 --batch-size 8"
    assert run(sampled.split()) == 0
    assert run(f"certify {options} --method dssn --sigma 0.02 --workers 0 --batch-size 8".split()) == 0
    capfd.readouterr()
    with Store.open_existing(str(home / "results.db")) as store:
        uniform, dssn = store.sealed_runs()
        assert store.image_columns(dssn.id).label_N.tolist() == [0, 250, 500, 750]
        votes = store.image_columns(uniform.id, with_votes=True).votes
        assert votes is not None
        assert decode_votes(votes).sum(axis=2).tolist() == [[4, 10]] * 4
    assert (uniform.dataset.shape, uniform.dataset.classes, uniform.dataset.q) == ((3, 224, 224), 1000, 255)
    assert run(["leaderboard", "--dataset", "imagenet"]) == 0
    assert "every 250th image (4 images)" in capfd.readouterr().out


@pytest.mark.parametrize("form", ["--all", "--json", "--csv"])
def test_a_reader_that_has_enough_gets_no_traceback(form: str, home: Path, digits: ImageDataset) -> None:
    store_with(home, digits).close()
    process = subprocess.Popen([*RSBENCH, "leaderboard", form], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait(timeout=60)


def test_help_names_every_command() -> None:
    done = subprocess.run([*RSBENCH, "--help"], capture_output=True, text=True, check=True)
    for command in ("sweep", "certify", "leaderboard", "show", "dashboard", "doctor", "db"):
        assert f" {command} " in done.stdout


def test_a_ray_that_does_not_answer_is_told_at_once(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint]
) -> None:
    """Port 1 belongs to a service that no machine has run for decades."""
    store_with(home, digits, trained["ssn"]).close()
    command = [*RSBENCH, *["certify", "--dataset", "digits", "--method", "ssn", "--workers", "1"]]
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "no Ray answers at RAY_ADDRESS=127.0.0.1:1" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
