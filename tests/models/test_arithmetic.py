"""A network in another arithmetic gives the same logits up to its precision."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from rsbench.errors import UsageError
from rsbench.models.arithmetic import Arithmetic
from rsbench.models.checkpoint import Checkpoint
from tests.fixtures.untrained import header, spec, untrained


def logits(x_BCHW: Tensor, **changes: Any) -> Tensor:
    """Of an untrained convolutional network with batch norm."""
    head = header("cnn", shape=(1, 8, 8))
    network = Checkpoint.pack(untrained(head), head).network(torch.device("cpu"))
    with torch.inference_mode():
        logits_BK: Tensor = Arithmetic(network, spec(**changes))(x_BCHW)
    return logits_BK


@pytest.fixture(scope="module")
def x_BCHW() -> Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((64, 1, 8, 8), dtype=np.float32))


# Bounds on the relative error: the unit roundoff (2⁻²⁴, 2⁻⁹ and 2⁻¹²), amplified by six layers.
@pytest.mark.parametrize(
    ("changes", "error"),
    [({"channels_last": True}, 1e-5), ({"precision": "bf16"}, 0.1), ({"precision": "fp16"}, 0.0125)],
)
def test_logits_are_those_of_fp32_up_to_the_precision(x_BCHW: Tensor, changes: dict[str, Any], error: float) -> None:
    exact, rounded = logits(x_BCHW), logits(x_BCHW, **changes)
    assert rounded.shape == exact.shape
    torch.testing.assert_close(rounded.float(), exact, rtol=0, atol=error * exact.abs().max().item())
    assert torch.equal(rounded, logits(x_BCHW, **changes))
    # Only fp32 keeps all bits.
    assert ("precision" in changes) == (rounded.dtype != torch.float32)


@pytest.mark.slow
def test_a_compiled_network_gives_the_same_logits_every_time(x_BCHW: Tensor) -> None:
    exact, rounded = logits(x_BCHW), logits(x_BCHW, torch_compile=True)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=1e-5 * exact.abs().max().item())
    assert torch.equal(rounded, logits(x_BCHW, torch_compile=True))


def test_a_missing_compiler_is_reported_in_one_line(x_BCHW: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(network: torch.nn.Module, **_: object) -> torch.nn.Module:
        return _Broken()

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(UsageError, match=r"does not work on this machine \(no C\+\+ compiler\): leave out --compile"):
        logits(x_BCHW, torch_compile=True)


class _Broken(torch.nn.Module):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        raise RuntimeError("no C++ compiler\nand many lines more")
