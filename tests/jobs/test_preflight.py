"""The quick check of a base classifier before it is certified."""

from pathlib import Path

import pytest
import torch

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.errors import CheckpointError
from rsbench.jobs.preflight import check_above_chance
from rsbench.models.architectures import build_backbone
from rsbench.models.checkpoint import Checkpoint
from rsbench.store.store import Store
from tests.fixtures.commands import refused


@pytest.fixture
def untrained(digits: ImageDataset, tmp_path: Path) -> Path:
    """The state dict of a network that was never trained."""
    torch.manual_seed(0)
    file = tmp_path / "untrained.pt"
    torch.save(build_backbone("mlp", 10, digits.info.shape).state_dict(), file)
    return file


@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn", "dssn"])
def test_a_trained_network_passes(method: str, trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    check_above_chance(trained[method], digits, "0:445:1")
    check_above_chance(trained[method], digits, "0:20:1")


def test_one_image_decides_nothing(trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    checkpoint = trained["ssn"]
    header = checkpoint.header.model_copy(update={"mean": (300.0,), "std": (1.0,)})
    check_above_chance(Checkpoint(checkpoint.content, header), digits, "0:1:1")


def test_wrong_normalisation_is_refused(trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    """The normalisation of pixels in 0..255 for a network that was trained on [0,1]."""
    checkpoint = trained["ssn"]
    header = checkpoint.header.model_copy(update={"mean": (300.0,), "std": (1.0,)})
    wrong = Checkpoint(checkpoint.content, header)
    with pytest.raises(CheckpointError, match="check --normalisation"):
        check_above_chance(wrong, digits, "0:445:1")


def test_a_network_that_guesses_is_refused_and_force_overrides(
    home: Path, untrained: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    described = f"--checkpoint {untrained} --method ssn --sigma 0.5 --normalisation dataset"
    arguments = f"certify --dataset digits {described} --images first:100 --n 100"
    line = refused(f"{arguments} --workers 0", capfd)
    assert "of 100 images and" in line
    assert "no better than guessing among 10 classes" in line
    assert not (home / "results.db").exists()
    assert run(f"{arguments} --workers 0 --force".split()) == 0
    # What is begun is finished without another look.
    assert run(f"{arguments} --workers 0".split()) == 0
    with Store.open_existing(str(home / "results.db")) as store:
        assert len(store.sealed_runs()) == 1
