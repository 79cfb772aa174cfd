"""Wide residual networks."""

import pytest
import torch
from torch import nn

from rsbench.data.in_memory import ArrayDataset
from rsbench.jobs.sweep import training_data
from rsbench.models.architectures import build_backbone
from rsbench.models.wide_resnet import WideResNet
from rsbench.records import EpochRecord
from rsbench.specs import MeasureSpec, TrainingSpec
from rsbench.training.trainer import train
from tests.fixtures.untrained import images


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_number_of_parameters_is_that_of_the_layers() -> None:
    def block(before: int, after: int) -> int:
        """Two normalisations with a factor and a shift a channel, two convolutions, and a shortcut where it must be."""
        return 2 * before + 9 * before * after + 2 * after + 9 * after * after + before * after * (before != after)

    # 40 layers, width 2: three groups of six blocks on 32, 64 and 128 channels.
    groups = sum(block(before, after) + 5 * block(after, after) for before, after in ((16, 32), (32, 64), (64, 128)))
    expected = 9 * 3 * 16 + groups + 2 * 128 + 128 * 10 + 10
    assert parameters(build_backbone("wrn40-2", 10, (3, 32, 32))) == expected == 2_243_546


@pytest.mark.parametrize(
    ("depth", "width", "millions"), [(40, 1, "0.6"), (40, 2, "2.2"), (40, 4, "8.9"), (28, 10, "36.5"), (16, 8, "11.0")]
)
def test_the_sizes_that_the_paper_prints(depth: int, width: int, millions: str) -> None:
    with torch.device("meta"):
        network = WideResNet(depth, width, 10, 3)
    assert f"{parameters(network) / 1e6:.1f}" == millions
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == depth - (1 if width == 1 else 0)


@pytest.mark.parametrize("depth", [4, 41, -2])
def test_an_impossible_depth_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=r"6·N \+ 4 layers"):
        WideResNet(depth, 2, 10, 3)


def test_images_are_halved_twice_and_do_not_influence_each_other() -> None:
    network = build_backbone("wrn40-2", 10, (3, 32, 32)).eval()
    assert isinstance(network, WideResNet)
    x_BCHW = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert network.block3(network.block2(network.block1(network.conv1(x_BCHW)))).shape == (3, 128, 8, 8)
        torch.testing.assert_close(network(x_BCHW)[1:2], network(x_BCHW[1:2]), rtol=1e-4, atol=1e-5)


def test_a_group_with_zero_convolutions_returns_its_shortcuts() -> None:
    network = WideResNet(10, 2, 10, 3).eval()
    for name, weight in network.block2.named_parameters():
        if name.endswith("conv2.weight"):
            nn.init.zeros_(weight)
    x_BCHW = torch.randn(2, 32, 8, 8, generator=torch.Generator().manual_seed(0))
    # Untrained, a normalisation divides by √(1 + 1e-5) only.
    shortcut = network.block2.get_submodule("layer.0.convShortcut")
    with torch.inference_mode():
        torch.testing.assert_close(network.block2(x_BCHW), shortcut(x_BCHW.relu() / (1 + 1e-5) ** 0.5))


def test_it_trains_on_images_of_32_by_32() -> None:
    pixels_NCHW = images(36).repeat(11, axis=3).repeat(11, axis=2)[:, :, :32, :32].repeat(3, axis=1)
    split = (pixels_NCHW, torch.arange(36).numpy() % 2)
    dataset = ArrayDataset("squares", test=split, train=split, classes=2, q=16, architecture="wrn40-2")
    spec = TrainingSpec(
        objective="noise-augmentation",
        dataset="squares",
        dataset_fingerprint=dataset.info.fingerprint,
        architecture="wrn40-2",
        measure=MeasureSpec(family="gaussian", sigma=0.25),
        seed=0,
        epochs=2,
        device="cpu",
        batch_size=12,
    )
    epochs: list[EpochRecord] = []
    checkpoint = train(spec, training_data(dataset), "cpu", epochs.append)
    assert checkpoint.header.architecture == "wrn40-2"
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert isinstance(checkpoint.network(torch.device("cpu")).backbone, WideResNet)
