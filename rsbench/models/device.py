"""Devices, and the settings with which a device gives the same bits every time."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from rsbench.errors import UsageError
from rsbench.specs import Device

if TYPE_CHECKING:
    import torch

# Parameters of `mallopt`, from glibc's malloc.h. Free memory above M_TRIM_THRESHOLD at the top of the heap, and every
# allocation above M_MMAP_THRESHOLD, is returned to the system as soon as it is freed.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# glibc refuses a larger M_MMAP_THRESHOLD.
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
# The largest C int, which `mallopt` takes.
_LARGEST_TRIM_THRESHOLD = 2**31 - 1


def prepare_device(name: str) -> "torch.device":
    """Set torch, for the whole process, to give the same bits for the same batch, and return the device.

    It uses one thread, no TF32 and no autotuning. name: `cpu` or `cuda`.
    Raises UsageError when this machine has no such device.
    """
    import torch

    if name == "cuda":
        _check_cuda()
    _keep_freed_memory()
    # The result of a sum depends on the number of threads. Workers are processes, so all cores are used anyway.
    torch.set_num_threads(1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return torch.device(name)


def _check_cuda() -> None:
    import torch

    if not torch.cuda.is_available():
        raise UsageError("--device cuda: no CUDA device is usable on this machine: choose cpu, or run rsbench doctor")


@contextmanager
def settings_restored() -> Iterator[None]:
    """Restore the settings of torch that `prepare_device` changes when the block ends: threads, TF32 and cuDNN.

    Two settings of the process stay: the environment variable CUBLAS_WORKSPACE_CONFIG, if it was not set before, and
    the thresholds of glibc's malloc.
    """
    import torch

    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (torch.get_num_threads(), matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic)
    try:
        yield
    finally:
        threads, matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before
        torch.set_num_threads(threads)


@cache
def _keep_freed_memory() -> None:
    """Tell glibc to keep freed memory, by raising its trim and mmap thresholds as far as they go.

    By default it returns each batch's memory and requests it again page by page, which took half of the time of a small
    convolutional network on a CPU. Does nothing elsewhere.
    """
    if sys.platform != "linux":
        return
    # Other C libraries have no such function.
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_M_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD)


def cuda_is_usable() -> bool:
    """Return whether torch can use a GPU. Importing torch takes seconds, so the GPU driver is looked for first."""
    if "torch" not in sys.modules and not _gpu_driver_is_installed():
        return False
    import torch

    return torch.cuda.is_available()


def _gpu_driver_is_installed() -> bool:
    # A build of torch for AMD GPUs uses another driver, which is not looked for: torch is imported and asked.
    if "rocm" in version("torch"):
        return True
    for library in ("libcuda.so.1", "nvcuda.dll"):
        with suppress(OSError):
            ctypes.CDLL(library)
            return True
    return False


def default_device() -> Device:
    """`cuda` if a GPU is usable, else `cpu`."""
    return "cuda" if cuda_is_usable() else "cpu"


def usable_device(name: str | None, precision: str) -> Device:
    """Return the device of that name, or the default.

    Raises UsageError when the name is unknown, when the device does not compute in that precision, and when CUDA is not
    usable on this machine, which is checked unless the run uses a Ray cluster (RAY_ADDRESS).
    """
    chosen = name or default_device()
    if chosen == "cuda":
        # On a Ray cluster the process that schedules the work needs no GPU; each worker checks its own.
        if "RAY_ADDRESS" not in os.environ:
            _check_cuda()
        return "cuda"
    if chosen != "cpu":
        raise UsageError(f"--device {chosen}: choose from cpu, cuda")
    if precision == "tf32":
        raise UsageError("--precision tf32: only CUDA devices have TensorFloat-32: choose fp32, bf16 or fp16")
    return "cpu"


def count_gpus() -> int:
    """How many GPUs this process sees."""
    import torch

    return torch.cuda.device_count()


def describe_device(name: str) -> str:
    """The model of the device, for the provenance of a run."""
    import torch

    return torch.cuda.get_device_name() if name == "cuda" else f"cpu ({torch.backends.cpu.get_cpu_capability()})"
