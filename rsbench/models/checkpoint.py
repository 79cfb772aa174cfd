"""Checkpoints: those of rsbench, in safetensors with a header, and external ones, which are state dicts of torch."""

import hashlib
import io
import json
import pickle
import struct
import textwrap
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self

from pydantic import ValidationError
from safetensors import SafetensorError

from rsbench.errors import CheckpointError
from rsbench.models.architectures import build_backbone
from rsbench.specs import CheckpointHeader

if TYPE_CHECKING:
    # A command that finds nothing to do reads headers only, and importing torch takes seconds.
    import torch
    from torch import Tensor, nn

    from rsbench.models.networks import Normalized

_HEADER_KEY = "rsbench"

# What `torch.load` raises for damaged files, found by giving it many of them.
_LOAD_ERRORS = (
    RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError,
    struct.error,
)  # fmt: skip


class BaseClassifier(Protocol):
    """What certification needs of a network: a `Checkpoint`, or a module that a program passes in."""

    @property
    def header(self) -> CheckpointHeader:
        """What the network is and what it was trained for."""

    @property
    def sha256(self) -> str:
        """Its identity."""

    def network(self, device: "torch.device") -> "nn.Module":
        """Return the network in evaluation mode on that device, the caller's to change."""


class Checkpoint:
    """The bytes of a checkpoint file, and its header.

    A checkpoint is identified by a sha256: that of the file if the file contains the header, and that of the file
    followed by the header if it is external and the header is what the user says about it. So the same weights with
    another normalisation or measure are another checkpoint.
    """

    def __init__(self, content: bytes, header: CheckpointHeader) -> None:
        self.content = content
        self.header = header
        digest = hashlib.sha256(content)
        if _HEADER_KEY not in safetensors_header(content):
            digest.update(header.canonical_json().encode())
        self.sha256 = digest.hexdigest()

    @classmethod
    def pack(cls, network: "Normalized", header: CheckpointHeader) -> Self:
        """The checkpoint of a network, in the format of rsbench."""
        from safetensors.torch import save

        # Cloned because safetensors refuses tensors that share memory, as tied weights do.
        weights = {
            name: tensor.detach().cpu().contiguous().clone() for name, tensor in network.backbone.state_dict().items()
        }
        # There is one key only because the library does not write several in a fixed order.
        return cls(save(weights, {_HEADER_KEY: header.canonical_json()}), header)

    @classmethod
    def parse(cls, content: bytes, name: str) -> Self:
        """The checkpoint in a file that rsbench wrote. Raises CheckpointError when the file has another format."""
        text = safetensors_header(content).get(_HEADER_KEY)
        if text is None:
            raise CheckpointError(f"{name} has no rsbench header: it was not written by rsbench, or it is damaged")
        try:
            header = CheckpointHeader.from_json(text)
        except ValidationError as error:
            raise CheckpointError(f"{name} has an unreadable header ({error.errors()[0]['msg']})") from error
        return cls(content, header)

    def network(self, device: "torch.device") -> "nn.Module":
        """The network in evaluation mode on that device. Raises CheckpointError when the weights do not fit."""
        from rsbench.models.networks import Normalized

        backbone = build_backbone(self.header.architecture, self.header.classes, self.header.shape)
        try:
            backbone.load_state_dict(_weights(self.content, backbone.state_dict().keys()))
        except RuntimeError as error:
            # torch lists every tensor that is missing, unexpected or of another shape.
            reason = textwrap.shorten(str(error).splitlines()[-1], width=120, placeholder=" …")
            raise CheckpointError(
                f"checkpoint {self.sha256[:12]} does not fit {self.header.architecture} with {self.header.classes} "
                f"classes ({reason}): name the right --architecture"
            ) from error
        network = Normalized(backbone, self.header.mean, self.header.std)
        return network.eval().requires_grad_(False).to(device)


def safetensors_header(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file, which begins with an 8-byte length and as much JSON; else empty."""
    length = int.from_bytes(content[:8], "little")
    try:
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        return {str(key): str(value) for key, value in metadata.items()}
    except (ValueError, AttributeError):
        return {}


def headers_of_content(content: bytes, header_by_sha256: Mapping[str, CheckpointHeader]) -> list[CheckpointHeader]:
    """Those headers with which the content of an external file makes the checkpoint of that sha256."""
    # A file may have hundreds of megabytes, so it is hashed once.
    digest = hashlib.sha256(content)
    headers = []
    for sha256, header in header_by_sha256.items():
        extended = digest.copy()
        extended.update(header.canonical_json().encode())
        if extended.hexdigest() == sha256:
            headers.append(header)
    return headers


def _weights(content: bytes, expected: Collection[str]) -> "Mapping[str, Tensor]":
    """The tensors of a file by name, without the prefixes of wrappers that the names in `expected` do not have."""
    import torch
    from safetensors.torch import load

    if safetensors_header(content) or content[8:9] == b"{":
        try:
            return load(content)
        except SafetensorError as error:
            raise CheckpointError(f"the weights cannot be read ({error}): the file is damaged") from error
    try:
        loaded: Any = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _LOAD_ERRORS as error:
        raise CheckpointError(
            f"the file is neither safetensors nor a torch state dict that loads with weights_only "
            f"({(str(error) or type(error).__name__).splitlines()[0]}): save network.state_dict()"
        ) from error
    return _without_wrappers(loaded, expected)


def _without_wrappers(loaded: Any, expected: Collection[str]) -> "Mapping[str, Tensor]":
    """A state dict without the wrappers in which networks are often saved: DataParallel, a normalising first layer."""
    from torch import Tensor

    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise CheckpointError("the file holds no state dict: save network.state_dict()")
    names = {str(name): tensor for name, tensor in loaded.items()}
    for prefix in ("module.", "1.", "module."):
        # The network itself may be such a wrapper.
        if names.keys() == set(expected):
            break
        # Released checkpoints of the field are DataParallel inside Sequential(normalise, network), or the reverse. A
        # network that is a Sequential itself goes on past its layer 1.
        inner = {name.removeprefix(prefix): tensor for name, tensor in names.items() if name.startswith(prefix)}
        rest = [name for name in names if not name.startswith(prefix)]
        if inner and not rest:
            names = inner
        elif inner and prefix == "1." and all(name.startswith("0.") for name in rest):
            raise CheckpointError(
                f"the file holds a first layer of its own ({', '.join(rest)}) before the network, which would be lost: "
                "save the state dict of the network behind it, or name an --architecture that has this layer"
            )
    return names
