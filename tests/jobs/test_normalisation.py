"""The normalisation of external checkpoints must be given; without it, an error shows which one fits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.data.npz import load_npz
from rsbench.errors import CheckpointError, UsageError
from rsbench.jobs.checkpoints import check_suits, load_file
from rsbench.jobs.normalisation import (
    named_normalisations,
    normalisation_advice,
    parse_normalisation,
)
from rsbench.jobs.options import CheckpointDescription
from rsbench.models.checkpoint import Checkpoint
from rsbench.specs import normalisation_text
from rsbench.store.store import Store
from tests.fixtures.commands import refused
from tests.fixtures.trained import store_with, stored_rows

# A class is a brightness, so that a network which expects another normalisation takes one class for another.
LEVELS = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
MEAN, STD = 0.5, 0.2


def brightness(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape_CHW[0], classes))


class OwnNormalisation(nn.Module):
    """A first layer with the normalisation as weights."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN))
        self.register_buffer("std", torch.tensor(STD))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return (x_BCHW - self.get_buffer("mean")) / self.get_buffer("std")


def normalised_brightness(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(OwnNormalisation(), brightness(classes, shape_CHW))


def weights_for(mean: float, std: float) -> dict[str, Tensor]:
    """Those with which `brightness` chooses the nearest level of an image that is normalised so."""
    centre_K = (LEVELS - mean) / std
    return {"2.weight": 2.0 * centre_K[:, None], "2.bias": -(centre_K**2)}


FILES: dict[str, dict[str, Tensor]] = {
    "dataset": weights_for(MEAN, STD),
    "center": weights_for(MEAN, 1.0),
    "none": weights_for(0.0, 1.0),
    "0.25/0.5": weights_for(0.25, 0.5),
    "inside": {
        "0.mean": torch.tensor(MEAN),
        "0.std": torch.tensor(STD),
        **{f"1.{name}": weight for name, weight in weights_for(MEAN, STD).items()},
    },
}


@pytest.fixture
def greys(home: Path) -> Path:
    """Grey squares in an .npz file that declares a mean and a deviation, and the networks beside it."""
    file = home.parent / "greys.npz"
    labels_N = np.arange(100) % 5
    images = np.broadcast_to(LEVELS.numpy()[labels_N][:, None, None, None], (100, 1, 8, 8))
    np.savez(file, test_images=images, test_labels=labels_N, mean=[MEAN], std=[STD])
    for name, weights in FILES.items():
        torch.save(weights, home.parent / f"{name.replace('/', '-')}.pt")
    return file


def arguments(greys: Path, network: str, factory: str = "brightness") -> str:
    file = greys.parent / f"{network.replace('/', '-')}.pt"
    described = f"--method cohen --sigma 0.1 --architecture {__name__}:{factory}"
    return f"certify --dataset {greys} --checkpoint {file} {described} --n0 10 --n 100 --workers 0"


def correct(command: str, greys: Path, capfd: pytest.CaptureFixture[str]) -> int:
    """How many images the run of a command certifies correctly."""
    assert run([*command.split(), "--json"]) == 0, capfd.readouterr().err
    fingerprint = json.loads(capfd.readouterr().out)["runs"][0]["run"]
    with Store.open_existing(str(greys.parent / "home" / "results.db")) as store:
        return int(store.image_columns(store.run(fingerprint).id).correct_N.sum())


@pytest.mark.parametrize(
    ("network", "option", "factory"),
    [
        ("dataset", "dataset", "brightness"),
        ("dataset", "0.5/0.2", "brightness"),
        ("center", "center", "brightness"),
        ("none", "none", "brightness"),
        ("0.25/0.5", "0.25/0.5", "brightness"),
        ("inside", "none", "normalised_brightness"),
    ],
)
def test_a_network_is_certified_under_its_own_normalisation_and_refused_without_one(
    network: str, option: str, factory: str, greys: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = arguments(greys, network, factory)
    line = refused(command, capfd)
    assert "does not say how its network normalises images: give --normalisation dataset, imagenet, cifar10" in line
    assert "of 100 images without noise it classifies correctly: dataset " in line
    fitting = {"0.25/0.5": "none of these fits clearly best", "inside": "none fits best"}
    assert fitting.get(network, f"{network} fits best") in line
    assert not home.exists()
    assert correct(f"{command} --normalisation {option}", greys, capfd) == 100


def test_another_normalisation_gives_another_result(greys: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert correct(f"{arguments(greys, 'none')} --normalisation dataset", greys, capfd) < 50


def test_a_registered_file_needs_no_description_again(
    greys: Path, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """So the checkpoints of earlier releases, which took the images of the file, go on where they stopped."""
    command = arguments(greys, "dataset")
    file = greys.parent / "dataset.pt"
    dataset = load_npz(greys)
    description = CheckpointDescription("cohen", 0.1, f"{__name__}:brightness")
    earlier = load_file(file, dataset, description, default_normalisation=dataset.normalisation)
    assert earlier.header.std != (STD,)
    with store_with(home, dataset, earlier) as store:
        [record] = store.checkpoints()
        assert record.sha256 == earlier.sha256
    # The bytes of the file identify it, wherever it is.
    assert load_file(file, dataset, CheckpointDescription(), [record]).sha256 == earlier.sha256
    assert run(command.split()) == 0
    assert run(f"certify --dataset {greys} --checkpoint {file} --n0 10 --n 100 --workers 0".split()) == 0
    with Store.open_existing(str(home / "results.db")) as store:
        [sealed] = store.sealed_runs()
        assert sealed.checkpoint_sha256 == earlier.sha256
    # Once it is registered with another normalisation too, the command must choose.
    assert run(f"{command} --normalisation dataset".split()) == 0
    capfd.readouterr()
    line = refused(command, capfd)
    assert "is registered as 2 checkpoints: choose one by its options: --method cohen --sigma 0.1" in line
    assert "--normalisation 0.5/0.2" in line


def test_the_weights_of_a_network_of_ours_give_its_votes(
    trained: dict[str, Checkpoint], digits: ImageDataset, home: Path, tmp_path: Path
) -> None:
    ours = trained["cohen"]
    file = tmp_path / "cohen.pt"
    torch.save(ours.network(torch.device("cpu")).get_submodule("backbone").state_dict(), file)
    certify = "certify --dataset digits --images first:20 --n0 10 --n 100 --workers 0"
    store_with(home, digits, ours).close()
    described = f"--checkpoint {file} --method cohen --sigma 0.5 --normalisation dataset"
    for command in (f"{certify} --checkpoint {ours.sha256[:12]}", f"{certify} {described}"):
        assert run(command.split()) == 0
    with Store.open_existing(str(home / "results.db")) as store:
        first, second = stored_rows(store).values()
    assert first == second


def test_a_checkpoint_that_has_a_normalisation_must_be_given_no_other(
    trained: dict[str, Checkpoint], digits: ImageDataset
) -> None:
    check_suits(trained["cohen"], digits, CheckpointDescription(normalisation="dataset"))
    message = r"has the normalisation 0\.3049/0\.3758, not none: leave --normalisation out"
    with pytest.raises(CheckpointError, match=message):
        check_suits(trained["cohen"], digits, CheckpointDescription(normalisation="none"))


def test_a_network_that_knows_every_normalisation_has_none_that_fits_best(
    trained: dict[str, Checkpoint], digits: ImageDataset
) -> None:
    """Accuracy without noise cannot tell between normalisations to which a network is robust."""
    backbone = trained["cohen"].network(torch.device("cpu")).get_submodule("backbone")
    assert "none of these fits clearly best" in normalisation_advice(backbone, digits)


def colours(folder: Path, **arrays: Any) -> ImageDataset:
    file = folder / "colours.npz"
    np.savez(file, test_images=np.zeros((4, 3, 4, 4), np.uint8), test_labels=np.arange(4), **arrays)
    return load_npz(file)


def test_names_depend_on_channels_and_on_what_is_declared(digits: ImageDataset, tmp_path: Path) -> None:
    assert list(named_normalisations(digits)) == ["dataset", "center", "none"]
    assert list(named_normalisations(colours(tmp_path))) == ["imagenet", "cifar10", "none"]
    declared = colours(tmp_path, mean=[0.1, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    assert parse_normalisation("dataset", declared) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert parse_normalisation("center", declared) == ((0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    assert parse_normalisation("cifar10", declared) == ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    assert parse_normalisation("imagenet", declared) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert parse_normalisation("none", digits) == ((0.0,), (1.0,))
    assert parse_normalisation(" 1e-1/.5", digits) == ((0.1,), (0.5,))


@pytest.mark.parametrize(
    "text", ["dataset", "center", "imagenet", "cifar10", "none", "0.1,0.2,0.3/1.0,1.0,0.123456789"]
)
def test_the_text_of_a_normalisation_means_the_same_again(text: str, tmp_path: Path) -> None:
    dataset = colours(tmp_path, mean=[1 / 3, 0.2, 0.3], std=[0.4, 0.5, 0.6])
    normalisation = parse_normalisation(text, dataset)
    assert parse_normalisation(normalisation_text(*normalisation), dataset) == normalisation


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dataset",
            r"colours\.npz declares no mean and std: add the arrays mean and std to an \.npz file, or give them",
        ),
        ("center", r"colours\.npz declares no mean and std"),
        (
            "halves",
            "--normalisation halves has no known form: give dataset, imagenet, cifar10, center, none, or MEAN/STD",
        ),
        ("0.5", "has no known form"),
        ("0.5/0.5/0.5", "has no known form"),
        ("a,b,c/1,1,1", "has no known form"),
        ("inf,0,0/1,1,1", "has no known form"),
        (
            "1,1,1/1,1,1e999",
            r"is out of range: means must lie between -1e\+06 and 1e\+06, standard deviations between",
        ),
        ("0.5/0.5", r"has 1 means and 1 standard deviations, and images of colours\.npz have 3 channels"),
        ("0,0,0/1,1", "has 3 means and 2 standard deviations"),
        ("0,0,0/1,1,0", "is out of range"),
        ("0,0,0/1,1,-1", "is out of range"),
        ("0,0,0/1,1,1e-60", "is out of range"),
        ("0,0,1e60/1,1,1", "is out of range"),
    ],
)
def test_a_text_of_another_form_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        parse_normalisation(text, colours(tmp_path))


def test_constants_of_colour_images_are_refused_for_grey_ones(digits: ImageDataset) -> None:
    with pytest.raises(UsageError, match="imagenet is for images of 3 channels, and those of digits have 1: choose"):
        parse_normalisation("imagenet", digits)
