"""Small networks, and the normalisation in front of every network. Shapes: B batch, C×H×W an image, K classes."""

import math

import torch
from torch import Tensor, nn


class Normalized(nn.Module):
    """Channel normalisation followed by a network: noise is added to pixels in [0,1], before the normalisation."""

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


def mlp(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    """A multilayer perceptron with two hidden layers of 256 units."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape_CHW), 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


def cnn(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    """Two convolutions with batch normalisation, each halving the image, and two linear layers."""
    channels, height, width = shape_CHW

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
