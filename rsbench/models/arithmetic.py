"""The arithmetic of a network: precision, memory format and compilation. Shapes: B batch, C×H×W an image, K classes."""

import logging

import torch
from torch import Tensor, nn

from rsbench.errors import UsageError, first_line
from rsbench.specs import CertificationSpec

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Arithmetic(nn.Module):
    """A network that computes in the precision, memory format and compilation of a specification."""

    def __init__(self, network: nn.Module, spec: CertificationSpec) -> None:
        super().__init__()
        self._format = torch.channels_last if spec.channels_last else torch.contiguous_format
        self._dtype = _AUTOCAST.get(spec.precision)
        network = network.to(memory_format=self._format)
        self._tf32 = spec.precision == "tf32"
        self._compiled = spec.torch_compile
        # It warns if there is no GPU.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        self._network = torch.compile(network, dynamic=False) if self._compiled else network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return logits, B×K. Raises UsageError when torch.compile does not work on this machine."""
        x_BCHW = x_BCHW.contiguous(memory_format=self._format)
        if x_BCHW.is_cuda:
            # This is a setting of the process, which another network may have changed.
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self._tf32
        try:
            with torch.autocast(x_BCHW.device.type, dtype=self._dtype, enabled=self._dtype is not None):
                logits_BK: Tensor = self._network(x_BCHW)
        except RuntimeError as error:
            if not self._compiled or isinstance(error, torch.OutOfMemoryError):
                raise
            raise UsageError(
                f"torch.compile does not work on this machine ({first_line(error)}): leave out --compile"
            ) from error
        return logits_BK
