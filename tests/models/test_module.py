"""What identifies a torch module that a program passes in, and what is refused of it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rsbench.errors import CheckpointError, UsageError
from rsbench.measures import gaussian
from rsbench.models.architectures import architecture_named, is_buildable
from rsbench.models.module import (
    ModuleClassifier,
    class_count,
    evaluation_copy,
    module_checkpoint,
    module_header,
    unwrapped,
)
from rsbench.records import DatasetInfo

INFO = DatasetInfo("digits", "d1" * 32, images=10, classes=10, shape=(1, 8, 8), q=16)
CPU = torch.device("cpu")


class Shifted(nn.Module):
    """Keeps what decides its output where torch does not look: in an attribute, a constant and a plain list."""

    def __init__(self, shift: float, slope: float = 0.0, layers: int = 1) -> None:
        super().__init__()
        self._shift = torch.tensor(shift)
        self.slope = slope
        self.layers = [nn.Linear(64, 10) for _ in range(layers)]
        for layer in self.layers:
            nn.init.constant_(layer.weight, 0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BD = nn.functional.leaky_relu(x_BCHW.flatten(1) - self._shift, self.slope)
        return torch.stack([layer(x_BD) for layer in self.layers]).sum(dim=0)


class Buffered(nn.Module):
    """Has a buffer that is not in its state dict."""

    def __init__(self, mean: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean), persistent=False)


def linear(seed: int = 0, activation: type[nn.Module] = nn.ReLU) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), activation(), nn.Linear(32, 10))


def linear_factory(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return linear(seed=1)


def tanh_factory(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return linear(seed=1, activation=nn.Tanh)


def wide_factory(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 11))


def scaled_by(scale: float) -> Callable[[Tensor], Tensor]:
    """A function that holds a number in its closure."""
    return lambda x: scale * x


def header_of(network: nn.Module, sigma: float = 0.5, architecture: str | None = None) -> Any:
    return module_header(network, INFO, architecture=architecture, method="cohen", measure=gaussian(sigma))


def identity(network: nn.Module, sigma: float = 0.5) -> str:
    return ModuleClassifier(network, header_of(network, sigma)).sha256


def test_equal_networks_have_one_identity_in_training_mode_too() -> None:
    assert identity(linear()) == identity(linear()) == identity(linear().train())
    assert identity(Shifted(0.5)) == identity(Shifted(0.5))


def test_what_decides_the_output_is_in_the_identity() -> None:
    distinct = [
        identity(linear()),
        identity(linear(), sigma=0.25),
        identity(linear(seed=1)),
        identity(linear(activation=nn.Tanh)),
        identity(linear().double()),
        identity(nn.Sequential(linear())),
        *(identity(Shifted(*values)) for values in ((0.5,), (0.4,), (0.5, 0.1), (0.5, 0.0, 2))),
        identity(Buffered(0.5)),
        identity(Buffered(0.4)),
    ]
    hooked = linear()
    hooked.register_forward_hook(lambda _module, _inputs, logits_BK: -logits_BK)
    distinct.append(identity(hooked))
    for scale in (1.0, 2.0):
        closed = linear()
        vars(closed)["rescale"] = scaled_by(scale)
        distinct.append(identity(closed))
    assert len(set(distinct)) == len(distinct)


def test_the_code_of_a_class_is_in_the_identity(tmp_path: Path) -> None:
    written = []
    for sign in ("", "-"):
        (tmp_path / "net.py").write_text(
            "import torch\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return "
            f"{sign}x.flatten(1)[:, :10]\n"
        )
        script = "import net; from tests.models.test_module import identity; print(identity(net.Net()))"
        root = Path(__file__).parents[2]
        identities = [
            subprocess.run(
                [sys.executable, "-B", "-c", script], env={"PYTHONPATH": f"{tmp_path}:{root}", "PYTHONHASHSEED": seed},
                capture_output=True, text=True, check=True,
            ).stdout
            for seed in (("1", "2") if not sign else ("1",))
        ]  # fmt: skip
        # The same in another process, whatever the order of its sets.
        assert len(set(identities)) == 1
        written.append(identities[0])
    assert written[0] != written[1]


def test_a_compiled_module_is_taken_without_its_wrapper() -> None:
    network = linear()
    before = identity(network)
    compiled: Any = torch.compile(network)
    assert unwrapped(compiled) is network
    assert identity(network) == before


def test_the_module_stays_as_it_is() -> None:
    network = linear().train()
    copied = evaluation_copy(network, CPU)
    assert network.training
    assert not copied.training
    assert all(p.requires_grad for p in network.parameters())
    assert not any(p.requires_grad for p in copied.parameters())


def test_the_architecture_names_the_class_and_cannot_be_built() -> None:
    name = header_of(linear()).architecture
    assert name == "<torch.nn.modules.container.Sequential>"
    assert not is_buildable(name)
    assert (architecture_named(name).batch_size("cpu"), architecture_named(name).channels_last) == (64, False)
    with pytest.raises(CheckpointError, match=r"Python object of the class torch.nn.modules.container.Sequential"):
        architecture_named(name).build(10, (1, 8, 8))


def test_a_factory_builds_the_network_again() -> None:
    network, x_NCHW = linear(), torch.rand(3, 1, 8, 8)
    header = header_of(network, architecture=f"{__name__}:linear_factory")
    checkpoint = module_checkpoint(network, header, x_NCHW)
    torch.testing.assert_close(checkpoint.network(CPU)(x_NCHW), network(x_NCHW), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("factory", "complaint"),
    [
        ("tanh_factory", "gives other logits than the network"),
        ("wide_factory", "does not take the network's weights"),
        ("no_factory", "has no attribute 'no_factory'"),
    ],
)
def test_a_factory_of_another_network_is_refused(factory: str, complaint: str) -> None:
    header = header_of(linear(), architecture=f"{__name__}:{factory}")
    with pytest.raises(UsageError, match=complaint) as refusal:
        module_checkpoint(linear(), header, torch.rand(3, 1, 8, 8))
    assert "\n" not in str(refusal.value)


class Broken(nn.Module):
    """Returns one value, whatever it is shown."""

    def __init__(self, returned: Any) -> None:
        super().__init__()
        self.returned = returned

    def forward(self, x_BCHW: Tensor) -> Any:
        return self.returned


@pytest.mark.parametrize(
    ("network", "complaint"),
    [
        (Broken(torch.zeros(2)), r"returns \(2,\) for a batch of 2"),
        (Broken(torch.zeros(1, 10)), r"returns \(1, 10\) for a batch of 2"),
        (Broken([1, 2]), "returns list for a batch of 2"),
        (Broken(torch.zeros(2, 1)), "at least two classes"),
        (Broken(torch.full((2, 10), float("nan"))), "returns NaN or infinity"),
        (nn.Linear(5, 10), "fails on images of the shape 1×8×8"),
    ],
)
def test_a_network_that_is_no_classifier_is_refused_in_one_line(network: nn.Module, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint) as refusal:
        class_count(network, torch.zeros(2, 1, 8, 8))
    assert "\n" not in str(refusal.value)


def test_a_module_that_cannot_be_copied_is_refused() -> None:
    network = linear()
    vars(network)["cache"] = torch.ones(1, requires_grad=True) * 2
    with pytest.raises(UsageError, match="cannot be copied"):
        evaluation_copy(network, CPU)
