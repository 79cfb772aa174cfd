"""A torch module that a program passes in: a base classifier without a file."""

import argparse
import copy
import dataclasses
import functools
import hashlib
import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from rsbench.errors import CheckpointError, UsageError, first_line
from rsbench.models.architectures import module_architecture
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import DatasetInfo
from rsbench.specs import CheckpointHeader, MeasureSpec

# Attributes that torch sets on a module. The tensors and submodules among them are described separately.
_OF_EVERY_MODULE = frozenset(vars(nn.Module())) | {"_is_torch_compile"}
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


class ModuleClassifier:
    """A torch module as a base classifier: images in [0,1] plus noise, B×C×H×W, to logits, B×K.

    Its identity, `sha256`, covers what decides its output: all tensors, the classes of all submodules with their source
    code where they are not torch's own, the other attributes, and the header. It does not cover functions that these
    classes call elsewhere.
    """

    def __init__(self, network: nn.Module, header: CheckpointHeader) -> None:
        self._network = network
        self.header = header
        digest = hashlib.sha256(header.canonical_json().encode())
        for part in _describe_module(network, {}):
            digest.update(part)
        self.sha256 = digest.hexdigest()

    def network(self, device: torch.device) -> nn.Module:
        """Return a copy in evaluation mode on that device. Raises UsageError when the module cannot be copied."""
        return evaluation_copy(self._network, device)


def module_header(
    network: nn.Module, dataset: DatasetInfo, *, architecture: str | None, method: str, measure: MeasureSpec
) -> CheckpointHeader:
    """Return the header of a module, which normalises its input itself; `architecture` names what can build it."""
    channels = dataset.shape[0]
    return CheckpointHeader(
        architecture=architecture or module_architecture(type(network)),
        classes=dataset.classes,
        shape=dataset.shape,
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        dataset=dataset.name,
        dataset_fingerprint=dataset.fingerprint,
        method=method,
        measure=measure,
    )


def module_checkpoint(network: nn.Module, header: CheckpointHeader, x_NCHW: Tensor) -> Checkpoint:
    """Return a module's weights as a checkpoint that its architecture builds again.

    Raises UsageError when the architecture does not take the weights, or gives other logits for some images.
    """
    copied = evaluation_copy(network, torch.device("cpu"))
    try:
        # Cloned, because safetensors refuses tensors that share memory.
        weights = {name: tensor.detach().clone().contiguous() for name, tensor in copied.state_dict().items()}
        checkpoint = Checkpoint(safetensors.torch.save(weights), header)
    except (AttributeError, TypeError, ValueError) as error:
        raise UsageError(
            f"the network's state dict holds other things than tensors ({first_line(error)}): leave architecture out"
        ) from error
    try:
        rebuilt = checkpoint.network(torch.device("cpu"))
    except CheckpointError as error:
        raise UsageError(f"architecture {header.architecture} does not take the network's weights: {error}") from error
    with torch.inference_mode():
        if not torch.equal(rebuilt(x_NCHW), copied(x_NCHW)):
            raise UsageError(
                f"architecture {header.architecture} with the network's weights gives other logits than the network: "
                "let the factory build the whole network, its normalisation included"
            )
    return checkpoint


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the module inside the wrapper of `torch.compile`, or the module itself."""
    inside: nn.Module = getattr(network, "_orig_mod", network)
    return inside


def evaluation_copy(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a copy in evaluation mode on that device; the module that was passed in stays as it is.

    Raises UsageError when the module cannot be copied.
    """
    try:
        copied = copy.deepcopy(network)
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the network cannot be copied ({first_line(error)}): build it anew and load its state dict"
        ) from error
    return copied.eval().requires_grad_(False).to(device)


def class_count(network: nn.Module, x_NCHW: Tensor) -> int:
    """Return K of the logits that a network returns for images.

    Raises UsageError when it does not take such images, or returns anything but one row of finite logits per image.
    """
    copied = evaluation_copy(network, torch.device("cpu"))
    try:
        with torch.inference_mode():
            logits_NK = copied(x_NCHW)
    # A network of the user may raise anything.
    except Exception as error:
        shape = "×".join(map(str, x_NCHW.shape[1:]))
        raise UsageError(
            f"the network fails on images of the shape {shape} ({type(error).__name__}: {first_line(error)}): it must "
            "take float32 images in [0,1], B×C×H×W, on the CPU too"
        ) from error
    if not isinstance(logits_NK, Tensor) or logits_NK.ndim != 2 or len(logits_NK) != len(x_NCHW):
        returned = tuple(logits_NK.shape) if isinstance(logits_NK, Tensor) else type(logits_NK).__name__
        raise UsageError(
            f"the network returns {returned} for a batch of {len(x_NCHW)}: it must return logits, one row of all "
            "classes per image"
        )
    if logits_NK.shape[1] < 2:
        raise UsageError("the network returns one logit per image: a classifier needs at least two classes")
    if not torch.isfinite(logits_NK).all():
        raise UsageError("the network returns NaN or infinity for the first images: check its weights and scaling")
    return logits_NK.shape[1]


def _describe_module(network: nn.Module, seen: dict[int, Any]) -> Iterator[bytes]:
    """Yield what decides the output of a module, the same in every process."""
    for name, module in network.named_modules():
        seen[id(module)] = module
        yield f"module {name} {_qualified_name(type(module))}\n".encode()
        for kind in type(module).__mro__:
            yield _source(kind)
        attributes = {key: value for key, value in vars(module).items() if key not in _OF_EVERY_MODULE}
        yield from _describe(attributes, seen)
        for hooks in _HOOKS:
            yield from _describe(list(getattr(module, hooks).values()), seen)
    # Buffers that are not persistent, such as a normalisation's, are missing from the state dict.
    for name, tensor in (
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ):
        yield f"tensor {name} ".encode()
        yield from _describe_tensor(tensor)


def _describe(value: Any, seen: dict[int, Any]) -> Iterator[bytes]:
    """Yield a value by its content. An object that is not data, such as a trainer, is described by its class."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype | torch.Size):
        yield f"{type(value).__name__} {value!r}\n".encode()
    elif isinstance(value, Tensor):
        yield from _describe_tensor(value)
    elif isinstance(value, np.ndarray | np.generic):
        yield f"array {value.dtype.str} {value.shape} ".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif id(value) in seen:
        yield b"again\n"
    elif isinstance(value, nn.Module):
        # torch does not see a submodule in a plain list.
        yield from _describe_module(value, seen)
    else:
        # A reference keeps other objects from taking its id.
        seen[id(value)] = value
        yield f"{_qualified_name(type(value))}\n".encode()
        yield from _describe_parts(value, seen)


def _describe_parts(value: Any, seen: dict[int, Any]) -> Iterator[bytes]:
    if isinstance(value, dict):
        for key in sorted(value, key=repr):
            yield from _describe(key, seen)
            yield from _describe(value[key], seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _describe(item, seen)
    elif isinstance(value, set | frozenset):
        yield from _describe(sorted(value, key=repr), seen)
    elif isinstance(value, functools.partial):
        yield from _describe((value.func, value.args, value.keywords), seen)
    elif isinstance(value, types.FunctionType):
        yield _qualified_name(value).encode()
        yield _source(value)
        yield from _describe((value.__defaults__, value.__kwdefaults__), seen)
        yield from _describe(list(inspect.getclosurevars(value).nonlocals.items()), seen)
    elif isinstance(value, types.MethodType):
        yield from _describe((value.__func__, value.__self__), seen)
    elif inspect.isbuiltin(value) or isinstance(value, type):
        yield _qualified_name(value).encode()
        yield _source(value)
    elif dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace | argparse.Namespace):
        yield from _describe(dict(vars(value)), seen)


def _describe_tensor(tensor: Tensor) -> Iterator[bytes]:
    yield f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    yield tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _qualified_name(value: Any) -> str:
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


def _source(value: Any) -> bytes:
    """The source code of a class or a function, empty where it is torch's, or there is none to read."""
    if str(getattr(value, "__module__", "")).partition(".")[0] in ("builtins", "torch", "torchvision"):
        return b""
    try:
        return inspect.getsource(value).encode()
    except (OSError, TypeError):
        return b""
