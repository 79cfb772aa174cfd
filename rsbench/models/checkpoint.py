"""Checkpoints: our own in safetensors with a header that says what they are, foreign ones as torch state dicts."""

import hashlib
import io
import json
import pickle
import struct
import textwrap
from collections.abc import Mapping
from typing import Any, Self

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from rsbench.errors import CheckpointError
from rsbench.models.architectures import build_backbone
from rsbench.models.networks import Normalized
from rsbench.specs import CheckpointHeader

_HEADER_KEY = "rsbench"

# What `torch.load` raises on bytes that are no state dict, found by giving it damaged ones.
_LOAD_ERRORS = (
    RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError,
    struct.error,
)  # fmt: skip


class Checkpoint:
    """The bytes of a checkpoint file with its header.

    Its identity is the sha256 of the bytes; of a foreign file, whose header is what the user says of it, that of the
    bytes and the header: the same weights under another normalisation or measure are another base classifier.
    """

    def __init__(self, content: bytes, header: CheckpointHeader) -> None:
        self.content = content
        self.header = header
        digest = hashlib.sha256(content)
        if _HEADER_KEY not in safetensors_header(content):
            digest.update(header.canonical_json().encode())
        self.sha256 = digest.hexdigest()

    @classmethod
    def pack(cls, network: Normalized, header: CheckpointHeader) -> Self:
        """Our own format. One header key, because the library does not write several in a fixed order."""
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.backbone.state_dict().items()}
        return cls(safetensors.torch.save(weights, {_HEADER_KEY: header.canonical_json()}), header)

    @classmethod
    def parse(cls, content: bytes, name: str) -> Self:
        """Our own format, header included. Raises CheckpointError when `content`, from the file `name`, is not that."""
        text = safetensors_header(content).get(_HEADER_KEY)
        if text is None:
            raise CheckpointError(f"{name} has no rsbench header: it is not one of our checkpoints, or it is damaged")
        try:
            header = CheckpointHeader.from_json(text)
        except ValidationError as error:
            raise CheckpointError(f"{name} has an unreadable header ({error.errors()[0]['msg']})") from error
        return cls(content, header)

    def network(self, device: torch.device) -> nn.Module:
        """The network in evaluation mode on that device. Raises CheckpointError when the weights do not fit."""
        backbone = build_backbone(self.header.architecture, self.header.classes, self.header.shape)
        try:
            backbone.load_state_dict(_weights(self.content))
        except RuntimeError as error:
            # torch lists every tensor that is missing, unexpected or of another shape: the first words are enough.
            reason = textwrap.shorten(str(error).splitlines()[-1], width=120, placeholder=" …")
            raise CheckpointError(
                f"checkpoint {self.sha256[:12]} does not fit {self.header.architecture} with {self.header.classes} "
                f"classes ({reason}): name its --architecture"
            ) from error
        network = Normalized(backbone, self.header.mean, self.header.std)
        return network.eval().requires_grad_(False).to(device)


def safetensors_header(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file, empty when `content` is none (an 8-byte length, then that much JSON)."""
    length = int.from_bytes(content[:8], "little")
    try:
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError):
        return {}


def _weights(content: bytes) -> Mapping[str, Tensor]:
    if safetensors_header(content) or content[8:9] == b"{":
        try:
            return safetensors.torch.load(content)
        except SafetensorError as error:
            raise CheckpointError(f"the weights cannot be read ({error}): the file is damaged") from error
    try:
        loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as error:
        raise CheckpointError(
            f"the file is neither safetensors nor a torch state dict that loads with weights_only "
            f"({(str(error) or type(error).__name__).splitlines()[0]}): save network.state_dict()"
        ) from error
    return _bare_names(loaded)


def _bare_names(loaded: Any) -> Mapping[str, Tensor]:
    """A state dict without the wrappers in which networks are often saved (DataParallel, a normalising first layer)."""
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CheckpointError("the file holds no state dict: save network.state_dict()")
    names = {str(name): tensor for name, tensor in loaded.items()}
    for prefix in ("module.", "1.", "module."):
        # Released checkpoints of the field are DataParallel inside Sequential(normalise, network), or the reverse. A
        # network that is a Sequential itself goes on past its layer 1.
        inner = {name.removeprefix(prefix): tensor for name, tensor in names.items() if name.startswith(prefix)}
        rest = [name for name in names if not name.startswith(prefix)]
        if inner and not rest:
            names = inner
        elif inner and prefix == "1." and all(name.startswith("0.") for name in rest):
            raise CheckpointError(
                f"the file holds a first layer of its own ({', '.join(rest)}) before the network, which would be lost: "
                "save the state dict of the network behind it"
            )
    return names
