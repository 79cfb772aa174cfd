"""Where networks run, and the settings that make a device repeat itself."""

import os

import torch

from rsbench.errors import UsageError


def prepare_device(name: str) -> torch.device:
    """The device `cpu` or `cuda`, set to give the same bits for the same batch: one thread, no TF32, no autotuning.

    Raises UsageError when there is no such device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is usable here: use --device cpu, or look at rsbench doctor")
    # More threads split sums differently. Workers are processes, so one thread each keeps all cores busy.
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return torch.device(name)


def default_device() -> str:
    """`cuda` where a usable CUDA device is, else `cpu`."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def count_gpus() -> int:
    """How many CUDA devices this process sees."""
    return torch.cuda.device_count()


def describe_device(name: str) -> str:
    """The device's model, for a run's provenance."""
    return torch.cuda.get_device_name() if name == "cuda" else f"cpu ({torch.backends.cpu.get_cpu_capability()})"
