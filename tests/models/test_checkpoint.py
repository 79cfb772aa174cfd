"""Checkpoints in the format of rsbench: safetensors with a header."""

import hashlib
import json

import pytest
import safetensors.torch
import torch
from torch import Tensor

from rsbench.errors import CheckpointError
from rsbench.models.checkpoint import Checkpoint, safetensors_header
from tests.fixtures.untrained import INFO, checkpoint, header, untrained

CPU = torch.device("cpu")
X_BCHW = torch.linspace(0, 1, 5 * 9).reshape(5, *INFO.shape)


def logits(packed: Checkpoint) -> Tensor:
    output: Tensor = packed.network(CPU)(X_BCHW)
    return output


def with_metadata(metadata: object) -> bytes:
    """A safetensors file without tensors and with that metadata."""
    text = json.dumps({"__metadata__": metadata}).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_a_packed_checkpoint_gives_the_same_network(architecture: str) -> None:
    # A convolutional network halves its images twice: they need four pixels a side.
    shape = (1, 3, 3) if architecture == "mlp" else (1, 4, 4)
    head = header(architecture, shape=shape, seed=3, training_fingerprint="cd" * 32)
    network = untrained(head)
    packed = Checkpoint.pack(network, head)
    parsed = Checkpoint.parse(packed.content, "a.safetensors")
    assert parsed.header == head
    assert parsed.sha256 == packed.sha256
    x_BCHW = torch.rand(3, *shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(parsed.network(CPU)(x_BCHW), network(x_BCHW))


def test_the_same_network_gives_the_same_bytes() -> None:
    assert checkpoint().content == checkpoint().content


def test_its_identity_is_the_sha256_of_its_bytes() -> None:
    packed = checkpoint()
    assert packed.sha256 == hashlib.sha256(packed.content).hexdigest()
    others = {checkpoint(sigma=0.25).sha256, checkpoint("uniform").sha256, checkpoint(scale=2.0).sha256}
    assert len(others | {packed.sha256}) == 4


def test_the_file_is_plain_safetensors() -> None:
    names = {name for name, _ in untrained(header()).backbone.state_dict().items()}
    assert set(safetensors.torch.load(checkpoint().content)) == names


def test_a_deterministic_measure_keeps_its_levels_and_seed() -> None:
    parsed = Checkpoint.parse(checkpoint("dssn", 0.5).content, "a.safetensors")
    assert (parsed.header.measure.levels, parsed.header.measure.offsets_seed) == (27, 0)


def test_the_network_is_ready_to_vote() -> None:
    network = checkpoint().network(CPU)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("content", [b"", b"short", bytes(100), b"\xff" * 100, b"\x02\0\0\0\0\0\0\0{}"])
def test_files_without_a_header_of_rsbench_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"a\.safetensors has no rsbench header"):
        Checkpoint.parse(content, "a.safetensors")


@pytest.mark.parametrize("metadata", [None, [], "text", 3, {}, {"other": "tool"}])
def test_metadata_of_other_programs_are_refused(metadata: object) -> None:
    with pytest.raises(CheckpointError, match="no rsbench header"):
        Checkpoint.parse(with_metadata(metadata), "a.safetensors")


def test_safetensors_files_of_other_programs_are_refused() -> None:
    content = safetensors.torch.save({"weight": torch.zeros(2)}, {"format": "pt"})
    assert safetensors_header(content) == {"format": "pt"}
    with pytest.raises(CheckpointError, match="no rsbench header"):
        Checkpoint.parse(content, "a.safetensors")


@pytest.mark.parametrize("text", ["", "{}", "not json", header().canonical_json().replace('"format":1', '"format":2')])
def test_an_unreadable_header_is_refused(text: str) -> None:
    with pytest.raises(CheckpointError, match="unreadable header"):
        Checkpoint.parse(with_metadata({"rsbench": text}), "a.safetensors")


@pytest.mark.parametrize("cut", [1, 100, 50_000])
def test_a_truncated_file_is_refused(cut: int) -> None:
    content = checkpoint().content[:-cut]
    with pytest.raises(CheckpointError, match="the file is damaged"):
        Checkpoint.parse(content, "a.safetensors").network(CPU)


@pytest.mark.parametrize(
    "changes", [{"classes": 5}, {"shape": (1, 4, 4)}, {"architecture": "cnn", "shape": (1, 4, 4)}], ids=str
)
def test_weights_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    misfit = Checkpoint(checkpoint().content, header().model_copy(update=changes))
    with pytest.raises(CheckpointError, match=r"does not fit .*--architecture"):
        misfit.network(CPU)


def test_another_weight_gives_another_network() -> None:
    assert not torch.equal(logits(checkpoint()), logits(checkpoint(scale=2.0)))
