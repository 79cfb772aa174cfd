"""Networks by name. Each takes images in [0,1] plus noise, B×C×H×W, and returns logits, B×K."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rsbench.errors import UsageError
from rsbench.models.wide_resnet import WideResNet

Shape = tuple[int, int, int]


class Normalized(nn.Module):
    """Channel normalisation as the first layer, so that noise is added to the pixels, and then the backbone."""

    mean_C11: Tensor
    std_C11: Tensor

    def __init__(self, backbone: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("mean_C11", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std_C11", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits, B×K."""
        logits_BK: Tensor = self.backbone((x_BCHW - self.mean_C11) / self.std_C11)
        return logits_BK


def _mlp(classes: int, shape_CHW: Shape) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape_CHW), 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


def _cnn(classes: int, shape_CHW: Shape) -> nn.Module:
    channels, height, width = shape_CHW
    if min(height, width) < 4:
        raise UsageError(f"cnn takes images of at least 4×4 pixels, and these have {height}×{width}: choose mlp")

    def stage(before: int, after: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]

    return nn.Sequential(
        *stage(channels, 16),
        *stage(16, 32),
        nn.Flatten(),
        nn.Linear(32 * (height // 4) * (width // 4), 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


def _wrn40_2(classes: int, shape_CHW: Shape) -> nn.Module:
    return WideResNet(40, 2, classes, shape_CHW[0])


def _resnet50(classes: int, shape_CHW: Shape) -> nn.Module:
    if shape_CHW[0] != 3:
        raise UsageError(f"resnet50 takes images of 3 channels, and these have {shape_CHW[0]}: choose another network")
    from torchvision.models import resnet50  # takes a second to import, and the small networks do not need it

    network: nn.Module = resnet50(weights=None, num_classes=classes)
    return network


@dataclass(frozen=True)
class Architecture:
    """A network, and how it is certified unless told otherwise: rows of a batch, and whether channels lie together.

    Both are part of a run's identity, so they are fixed here and never found by trial: on a CPU as `rsbench bench
    --settings` found them to be fast, on a GPU as large as cards of 8 GB hold. `usual_classes` and `usual_shape` are
    of the images that it is mostly used on.
    """

    build: Callable[[int, Shape], nn.Module]
    cpu_batch: int
    cuda_batch: int
    channels_last: bool
    usual_classes: int
    usual_shape: Shape

    def batch_size(self, device: str) -> int:
        """Rows of a batch on `cpu` or `cuda`."""
        return self.cuda_batch if device == "cuda" else self.cpu_batch


ARCHITECTURES = {
    "mlp": Architecture(_mlp, 1024, 16_384, channels_last=False, usual_classes=10, usual_shape=(1, 8, 8)),
    "cnn": Architecture(_cnn, 128, 4096, channels_last=True, usual_classes=10, usual_shape=(1, 28, 28)),
    "wrn40-2": Architecture(_wrn40_2, 64, 1024, channels_last=True, usual_classes=10, usual_shape=(3, 32, 32)),
    "resnet50": Architecture(_resnet50, 32, 128, channels_last=True, usual_classes=1000, usual_shape=(3, 224, 224)),
}


def architecture_named(name: str) -> Architecture:
    """Raises UsageError for a name that is none."""
    if name not in ARCHITECTURES:
        raise UsageError(f"unknown architecture {name!r}: choose from {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def build_backbone(architecture: str, classes: int, shape_CHW: Shape) -> nn.Module:
    """An untrained backbone. Raises UsageError for an unknown architecture, or one that takes no such images."""
    return architecture_named(architecture).build(classes, shape_CHW)
