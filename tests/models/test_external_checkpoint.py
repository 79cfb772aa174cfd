"""External checkpoints: torch state dicts in the wrappers that released code uses, and files that are refused."""

import io
import pickle
import random
import warnings
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rsbench.errors import CheckpointError
from rsbench.models.checkpoint import Checkpoint
from tests.fixtures.untrained import header, untrained

CPU = torch.device("cpu")
HEAD = {
    "mlp": header("mlp"),
    "cnn": header("cnn", shape=(1, 4, 4)),
    "wrn40-2": header("wrn40-2", shape=(3, 32, 32), mean=(0.4,) * 3, std=(0.3,) * 3),
    "resnet50": header("resnet50", shape=(3, 32, 32), mean=(0.4,) * 3, std=(0.3,) * 3),
}


def saved(thing: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def prefixed(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def normalised_first(weights: Mapping[str, Tensor], outer: str = "", inner: str = "") -> dict[str, Tensor]:
    """The weights of Sequential(normalise, network), where the first layer has its mean and deviation as weights."""
    layer = {f"{outer}0.means": torch.zeros(1), f"{outer}0.sds": torch.ones(1)}
    return layer | prefixed(f"{outer}1.{inner}", weights)


WRAPPERS: dict[str, Callable[[Mapping[str, Tensor]], Any]] = {
    "bare": lambda w: dict(w),
    "in a state_dict": lambda w: {"epoch": 90, "arch": "net", "state_dict": dict(w)},
    "DataParallel": lambda w: prefixed("module.", w),
    "normalised": lambda w: prefixed("1.", w),
    "DataParallel of normalised": lambda w: prefixed("module.1.", w),
    "normalised, then DataParallel": lambda w: {"state_dict": prefixed("1.module.", w)},
}


# The small networks are Sequential, whose layers have numbers for names, as the wrappers' have; the large one is not.
@pytest.mark.parametrize(
    ("architecture", "wrapper"),
    [
        *product(("mlp", "cnn", "wrn40-2"), WRAPPERS),
        ("resnet50", "bare"),
        ("resnet50", "normalised, then DataParallel"),
    ],
)
def test_wrapped_state_dicts_load(architecture: str, wrapper: str) -> None:
    head = HEAD[architecture]
    network = untrained(head)
    loaded = Checkpoint(saved(WRAPPERS[wrapper](network.backbone.state_dict())), head).network(CPU)
    x_BCHW = torch.rand(2, *head.shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(loaded(x_BCHW), network(x_BCHW))


@pytest.mark.parametrize(("outer", "inner"), [("", ""), ("module.", ""), ("", "module.")])
@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_a_first_layer_with_weights_of_its_own_is_not_dropped(architecture: str, outer: str, inner: str) -> None:
    head = HEAD[architecture]
    weights = normalised_first(untrained(head).backbone.state_dict(), outer, inner)
    with pytest.raises(CheckpointError, match=r"a first layer of its own \(0.means, 0.sds\)"):
        Checkpoint(saved(weights), head).network(CPU)


@pytest.mark.parametrize("thing", [[1, 2], {"a": 1}, {"state_dict": {"a": "b"}}, torch.zeros(3), {"optimizer": {}}])
def test_files_that_hold_no_state_dict_are_refused(thing: Any) -> None:
    with pytest.raises(CheckpointError, match=r"no state dict: save network\.state_dict\(\)"):
        Checkpoint(saved(thing), HEAD["mlp"]).network(CPU)


def test_a_state_dict_of_another_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="does not fit mlp with 4 classes"):
        Checkpoint(saved(nn.Linear(3, 4).state_dict()), HEAD["mlp"]).network(CPU)


def test_a_whole_pickled_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"weights_only.*save network\.state_dict\(\)"):
        Checkpoint(saved(nn.Linear(3, 4)), HEAD["mlp"]).network(CPU)


class Trap:
    """Unpickling this would create a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._file,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_file_never_runs(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    trap = Trap(witness)
    for content in (saved({"state_dict": trap}), pickle.dumps(trap), pickle.dumps({"weight": trap})):
        with pytest.raises(CheckpointError, match="weights_only"):
            Checkpoint(content, HEAD["mlp"]).network(CPU)
        assert not witness.exists()
    # The trap works: an ordinary unpickler falls into it.
    pickle.loads(pickle.dumps(trap))  # noqa: S301
    assert witness.exists()


def test_damaged_files_are_refused_with_a_checkpoint_error() -> None:
    whole = saved(untrained(HEAD["mlp"]).backbone.state_dict())
    generator = random.Random(0)  # noqa: S311
    damaged = [whole[: generator.randrange(len(whole))] for _ in range(20)]
    damaged += [generator.randbytes(generator.randrange(60)) for _ in range(100)]
    damaged += [b"\x80\x02" + generator.randbytes(20) for _ in range(100)]
    with warnings.catch_warnings():
        # torch warns of strange pickle protocols before it refuses them.
        warnings.simplefilter("ignore")
        for content in damaged:
            with pytest.raises(CheckpointError):
                Checkpoint(content, HEAD["mlp"]).network(CPU)
