"""Networks by name."""

import pytest
import torch

from rsbench.errors import UsageError
from rsbench.models.architectures import ARCHITECTURES, Normalized, build_backbone


@pytest.mark.parametrize(
    ("architecture", "classes", "shape"),
    [
        ("mlp", 10, (1, 8, 8)),
        ("mlp", 3, (2, 5, 7)),
        ("cnn", 10, (1, 28, 28)),
        ("cnn", 5, (3, 17, 22)),
        ("wrn40-2", 10, (3, 32, 32)),
        ("wrn40-2", 4, (1, 17, 20)),
        ("resnet50", 7, (3, 64, 64)),
    ],
)
def test_one_row_of_logits_an_image(architecture: str, classes: int, shape: tuple[int, int, int]) -> None:
    backbone = build_backbone(architecture, classes, shape).eval()
    with torch.inference_mode():
        assert backbone(torch.zeros(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "resnet50"])
def test_the_usual_images_suit_a_network(architecture: str) -> None:
    usual = ARCHITECTURES[architecture]
    backbone = build_backbone(architecture, usual.usual_classes, usual.usual_shape).eval()
    with torch.inference_mode():
        assert backbone(torch.zeros(1, *usual.usual_shape)).shape == (1, usual.usual_classes)


def test_images_with_other_channels_than_a_network_takes_are_refused() -> None:
    with pytest.raises(UsageError, match="resnet50 takes images of 3 channels, and these have 1"):
        build_backbone("resnet50", 10, (1, 8, 8))


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown architecture 'vgg': choose from mlp, cnn, wrn40-2, resnet50"):
        build_backbone("vgg", 10, (1, 8, 8))


def test_pixels_are_normalised_by_channel_before_the_backbone() -> None:
    x_BCHW = torch.tensor([0.5, 0.75]).reshape(1, 2, 1, 1)
    network = Normalized(torch.nn.Flatten(), (0.25, 0.5), (0.5, 0.125))
    assert network(x_BCHW).tolist() == [[0.5, 2.0]]


def test_the_normalisation_is_no_weight() -> None:
    assert Normalized(torch.nn.Flatten(), (0.5,), (0.5,)).state_dict() == {}
