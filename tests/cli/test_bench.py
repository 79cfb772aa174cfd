"""`rsbench bench` through the real program: what it measures, without data or checkpoint too, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.checkpoints import save_checkpoint
from rsbench.models.checkpoint import Checkpoint
from tests.fixtures.commands import refused
from tests.fixtures.trained import store_with

# No time is asserted: these runs are as short as they can be.
SHORT = "--seconds 0.001 --device cpu"


def measured(arguments: str, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capfd.readouterr()
    assert run(f"bench {arguments} {SHORT} --json".split()) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


def test_it_prints_speeds_shares_memory_and_the_run(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(f"bench --dataset digits --images first:20 --n 1000 --workers 2 {SHORT}".split()) == 0
    captured = capfd.readouterr()
    assert captured.out.startswith("mlp (untrained) on 1×8×8, cohen, sigma 0.5\nbatches of 1,024, fp32, cpu")
    for words in ("network alone", "whole run", "% of the network alone", "noise", "forward", "votes", "store"):
        assert words in captured.out
    shares = [float(line.split()[-2]) for line in captured.out.splitlines() if line.startswith("  ")]
    assert sum(shares) == pytest.approx(100.0, abs=0.2)
    # 20 images are one chunk, whose 22,000 votes fill 21.5 batches.
    assert "20 images, n0 = 100, n = 1,000: 22,000 votes\npadding        2.4 % more forward passes" in captured.out
    assert "with 2 workers of this speed" in captured.out
    assert max(map(len, captured.out.splitlines())) <= 80
    assert "GPU" not in captured.out
    # The speed is kept, and nothing else.
    assert [path.name for path in home.iterdir()] == ["bench"]


def test_json_has_the_same_in_full_precision(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = measured("--dataset digits --method ssn --sigma 0.25 --n0 64 --n 250 --batch-size 100 --workers 2", capfd)
    assert found["schema"] == 1
    assert (found["architecture"], found["trained"], found["shape"]) == ("mlp", False, [1, 8, 8])
    assert (found["method"], found["sigma"], found["batch_size"]) == ("ssn", 0.25, 100)
    assert list(found["stage_seconds_per_vote"]) == ["noise", "forward", "votes", "store"]
    speeds = [found["bare_passes_per_second"], found["full_votes_per_second"], found["ratio"]]
    assert all(number > 0 for number in [*speeds, *found["stage_seconds_per_vote"].values()])
    assert found["peak_process_bytes"] > 2**20
    assert found["peak_gpu_bytes"] is None
    planned = found["run"]
    assert (planned["images"], planned["n0"], planned["n"], planned["votes"]) == (
        445,
        64,
        250,
        445 * 314,
    )
    assert planned["seconds"] == pytest.approx(445 * 314 / found["full_votes_per_second"] / 2)
    assert planned["gpu_hours"] is None


@pytest.mark.parametrize(
    ("arguments", "shape", "votes"),
    [
        ("", [1, 8, 8], 500 * 100_100),
        ("--architecture cnn --n 100", [1, 28, 28], 500 * 200),
        ("--architecture wrn40-2 --images first:3 --n 10 --batch-size 4", [3, 32, 32], 3 * 110),
        ("--method dssn --sigma 0.02 --batch-size 8", [1, 8, 8], 500 * 17),
        ("--method dssn --sigma 1 --images every:100", [1, 8, 8], 5 * 883),
    ],
)
def test_without_data_and_checkpoint_the_images_are_random(
    arguments: str, shape: list[int], votes: int, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = measured(arguments, capfd)
    assert found["shape"] == shape
    assert found["run"]["votes"] == votes
    assert not (home / "results.db").exists()


def test_a_checkpoint_is_measured_with_its_data_and_without(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint], capfd: pytest.CaptureFixture[str]
) -> None:
    known = trained["uniform"]
    store_with(home, digits, known).close()
    file = save_checkpoint(known, home / "elsewhere")
    torch.save(known.network(torch.device("cpu")).get_submodule("backbone").state_dict(), home / "external.pt")
    external = f"--checkpoint {home / 'external.pt'} --method uniform --sigma 0.5"
    for arguments, images in (
        (f"--checkpoint {known.sha256[:12]} --dataset digits", 445),
        (f"--checkpoint {known.sha256[:12]}", 500),
        (f"--checkpoint {file} --dataset digits", 445),
        (f"--checkpoint {file}", 500),
        (f"{external} --dataset digits --normalisation none", 445),
        (external, 500),
    ):
        found = measured(f"{arguments} --n 100", capfd)
        assert (found["architecture"], found["trained"], found["method"]) == ("mlp", True, "uniform")
        assert found["run"]["images"] == images
    for arguments, complaint in (
        (f"--checkpoint {file} --method ssn", "was trained by uniform, not by ssn: leave --method out"),
        (f"--checkpoint {file} --architecture cnn", "is a mlp, not a cnn: leave --architecture out"),
        (f"--checkpoint {home / 'external.pt'}", "does not say what noise it was trained on"),
        (f"{external} --architecture cnn", "does not fit cnn with 10 classes"),
        (f"{external} --dataset digits", "external.pt does not say how its network normalises images: give --normal"),
    ):
        assert complaint in refused(f"bench {arguments}", capfd)


def test_the_next_of_the_same_replaces_a_result(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, files in (
        ("--dataset digits --n 100", 1),
        ("--dataset digits --n 200 --images first:3 --sigma 1", 1),
        ("--dataset digits --n 100 --batch-size 512", 2),
        ("--dataset digits --n 100 --method uniform", 3),
        ("--dataset digits --n 100 --architecture cnn", 4),
    ):
        measured(arguments, capfd)
        assert len(list((home / "bench").iterdir())) == files


def test_a_home_that_cannot_be_written_costs_the_result_only(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home.write_text("a file where a folder should be")
    assert run(f"bench --dataset digits --n 100 {SHORT} --json".split()) == 0
    captured = capfd.readouterr()
    assert json.loads(captured.out)["architecture"] == "mlp"
    assert captured.err.splitlines()[-1].startswith(f"--dry-run will not use this result: {home}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--architecture vgg", "unknown architecture 'vgg': choose from mlp, cnn, wrn40-2, resnet50"),
        ("--dataset digits --architecture vgg", "unknown architecture 'vgg': choose from mlp, cnn, wrn40-2, resnet50"),
        ("--dataset digits --architecture resnet50", "resnet50 takes images of 3 channels, and these have 1"),
        ("--dataset digit", "unknown dataset 'digit'"),
        ("--checkpoint nosuch", "--checkpoint nosuch: there is no such file, and 0 checkpoints of the store"),
        ("--method nosuch", "unknown method 'nosuch'"),
        ("--sigma 0", "sigma must lie between 1e-6 and 1e6"),
        ("--images first:501", "--images first:501: the dataset has only 500 images"),
        ("--n 9", "--n 9 certifies no image"),
        ("--n0 0", "--n0 must be at least 1 (got 0)"),
        ("--batch-size 0", "--batch-size must lie between 1 and 1,000,000 (got 0)"),
        ("--workers=-1", "--workers -1: give 0 or more"),
        ("--device tpu", "--device tpu: choose from cpu, cuda"),
        ("--seconds 0", "--seconds 0: give a number above 0, at most 600"),
        ("--seconds nan", "--seconds nan: give a number above 0, at most 600"),
        ("--seconds many", "--seconds many is not valid: give a number"),
    ],
)
def test_bad_input_is_one_line(arguments: str, message: str, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert message in refused(f"bench {arguments}", capfd)
    assert not home.exists()
