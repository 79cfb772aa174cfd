"""Networks by name."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rsbench.errors import UsageError
from rsbench.models.architectures import (
    ARCHITECTURES,
    Architecture,
    architecture_named,
    build_backbone,
    check_architecture,
)
from rsbench.models.networks import Normalized


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
    message = "unknown architecture 'vgg': choose from mlp, cnn, wrn40-2, resnet50, torchvision:NAME or package.module:"
    with pytest.raises(UsageError, match=message):
        build_backbone("vgg", 10, (1, 8, 8))


# A module of other people has functions such as these, which `package.module:name` refers to.
HERE = __name__


def linear(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))


def no_network(classes: int, shape_CHW: tuple[int, int, int]) -> list[int]:
    return [classes]


def failing(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    raise KeyError("depth")


def too_many_classes(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return linear(classes + 1, shape_CHW)


def for_colours_only(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(classes))


class TwoOutputs(nn.Module):
    """Returns another thing in training, as some networks of torchvision do."""

    def __init__(self, classes: int, shape_CHW: tuple[int, int, int]) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x_BCHW: Tensor) -> Any:
        logits_BK = torch.zeros(len(x_BCHW), self.classes)
        return (logits_BK, logits_BK) if self.training else logits_BK


NOT_CALLABLE = 3


def test_a_factory_of_other_people_is_an_architecture() -> None:
    name = f"{HERE}:linear"
    check_architecture(name, 5, (2, 3, 3))
    backbone = build_backbone(name, 5, (2, 3, 3))
    assert backbone(torch.zeros(4, 2, 3, 3)).shape == (4, 5)
    usual = architecture_named(name)
    assert (usual.batch_size("cpu"), usual.batch_size("cuda"), usual.channels_last) == (64, 256, False)


def test_a_registered_architecture_is_built_by_its_name() -> None:
    with ARCHITECTURES.registered("linear", Architecture(linear, cpu_batch=7)):
        check_architecture("linear", 5, (2, 3, 3))
        assert architecture_named("linear").batch_size("cpu") == 7


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:net", "the module cannot be imported .*No module named 'no_such_module'"),
        (f"{HERE}:missing", "has no attribute 'missing'"),
        (f"{HERE}:NOT_CALLABLE", "is of type int: name a function that takes the number of classes"),
        (
            f"{HERE}:no_network",
            "returned an object of type list for 5 classes and images of 1×3×3: its",
        ),
        (f"{HERE}:failing", r"cannot be built for 5 classes and images of 1×3×3 \(KeyError: 'depth'\)"),
        (f"{HERE}:too_many_classes", "returns a tensor of the shape 2×6 for 2 images in training mode: .* 2×5"),
        (f"{HERE}:for_colours_only", r"fails in training mode on images of 1×3×3 \(RuntimeError: "),
        (f"{HERE}:TwoOutputs", "returns an object of type tuple for 2 images in training mode"),
        ("torchvision:resnet18", "torchvision:resnet18 takes images of 3 channels, and these have 1"),
    ],
)
def test_a_factory_that_gives_no_classifier_of_these_images_is_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_architecture(name, 5, (1, 3, 3))


def test_torchvision_has_many_architectures() -> None:
    check_architecture("torchvision:squeezenet1_1", 7, (3, 32, 32))
    for name in ("torchvision:resnet19", "torchvision:fasterrcnn_resnet50_fpn"):
        with pytest.raises(UsageError, match=f"architecture '{name}' is not an image classifier of torchvision"):
            check_architecture(name, 7, (3, 32, 32))


def test_pixels_are_normalised_by_channel_before_the_backbone() -> None:
    x_BCHW = torch.tensor([0.5, 0.75]).reshape(1, 2, 1, 1)
    network = Normalized(torch.nn.Flatten(), (0.25, 0.5), (0.5, 0.125))
    assert network(x_BCHW).tolist() == [[0.5, 2.0]]


def test_the_normalisation_is_no_weight() -> None:
    assert Normalized(torch.nn.Flatten(), (0.5,), (0.5,)).state_dict() == {}
