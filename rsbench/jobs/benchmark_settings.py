"""The speed of a network in other batch sizes and arithmetic than the run's, and whether it votes the same.

All times are wall-clock seconds. Shapes: N images of a chunk, B rows of a batch, C channels, H×W pixels.
"""

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from rsbench.certification.plan import all_chunks
from rsbench.certification.voting import BatchPlan, CertificationWork, ChunkVoter
from rsbench.data.dataset import ImageDataset
from rsbench.errors import UsageError
from rsbench.jobs.progress import ProgressListener
from rsbench.models.checkpoint import BaseClassifier
from rsbench.specs import CertificationSpec

# The median of five rounds holds although a busy machine spoils two. There are many settings, so there are fewer rounds
# than in `rsbench.jobs.benchmark`.
_ROUNDS = 5


@dataclass(frozen=True)
class SettingSpeed:
    """The speed of a network in one setting of batch size and arithmetic."""

    spec: CertificationSpec
    """The run in this setting."""

    passes_per_second: float | None
    """Forward passes of the network alone; None where the setting does not work on this machine."""

    agreement: float | None
    """Share of a batch of noisy copies on which the network votes as in the run's own setting; None where the batch has
    another size."""

    error: str = ""
    """Why the setting does not work."""


def compare_settings(
    checkpoint: BaseClassifier,
    dataset: ImageDataset,
    spec: CertificationSpec,
    *,
    seconds: float,
    listener: ProgressListener,
) -> list[SettingSpeed]:
    """Measure the run's own setting, first, and the others that the device supports, for about `seconds` each.

    The settings are measured in rounds, one after the other, and the median of the rounds counts.
    Raises UsageError when the run's own setting does not work.
    """
    settings = list(_settings(spec))
    listener.begin("measuring", len(settings) * (1 + _ROUNDS), "steps")
    try:
        prepared: list[_PreparedNetwork | str] = []
        for setting in settings:
            prepared.append(_prepare(checkpoint, dataset, setting))
            listener.advance(1)
        rates: list[list[float]] = [[] for _ in settings]
        for _ in range(_ROUNDS):
            for network, rate in zip(prepared, rates, strict=True):
                # A slow network has used its time after fewer rounds.
                if isinstance(network, _PreparedNetwork) and network.seconds < seconds:
                    rate.append(network.passes_per_second(seconds / _ROUNDS))
                listener.advance(1)
    finally:
        listener.end()
    own = prepared[0]
    if isinstance(own, str):
        raise UsageError(own)
    return [
        SettingSpeed(setting, None, None, network)
        if isinstance(network, str)
        else SettingSpeed(setting, statistics.median(rate), own.agreement(network))
        for setting, network, rate in zip(settings, prepared, rates, strict=True)
    ]


class _PreparedNetwork:
    """A network in one setting, and a batch of noisy copies on its device."""

    def __init__(self, network: nn.Module, x_BCHW: Tensor) -> None:
        self._network, self._x_BCHW = network, x_BCHW
        # The first pass is slower, so it is not timed.
        self._class_B = self._vote()
        self.seconds = 0.0

    def passes_per_second(self, seconds: float) -> float:
        """Measure for about that many seconds."""
        started, passes = time.perf_counter(), 0
        while passes == 0 or time.perf_counter() - started < seconds:
            self._vote()
            passes += len(self._x_BCHW)
        elapsed = time.perf_counter() - started
        self.seconds += elapsed
        return passes / elapsed

    def agreement(self, other: "_PreparedNetwork") -> float | None:
        """The share of equal votes on the same noisy copies."""
        if len(self._class_B) != len(other._class_B):
            return None
        return float((self._class_B == other._class_B).double().mean())

    @torch.inference_mode()
    def _vote(self) -> Tensor:
        # Copying the classes waits for the device.
        class_B: Tensor = self._network(self._x_BCHW).argmax(dim=1).cpu()
        return class_B


@torch.inference_mode()
def _prepare(checkpoint: BaseClassifier, dataset: ImageDataset, spec: CertificationSpec) -> _PreparedNetwork | str:
    """The network in a setting, or why the setting does not work on this machine."""
    chunk = all_chunks(spec)[0]
    try:
        voter = ChunkVoter(CertificationWork(spec, dataset.info, checkpoint))
        images_NCHW, index_N = voter.prepare_images(chunk, dataset.pixels(chunk.indices))
        plan = BatchPlan(spec, len(chunk.indices), voter.device)
        x_BCHW, _ = voter.noisy_batch(images_NCHW, index_N, plan, 0)
        return _PreparedNetwork(voter.network, x_BCHW)
    except torch.OutOfMemoryError:
        return f"batches of {spec.batch_size} do not fit into the memory of the device"
    except UsageError as error:
        return str(error)


def _settings(spec: CertificationSpec) -> Iterator[CertificationSpec]:
    """The run's own setting, two other batch sizes, then every other arithmetic at the run's batch size."""
    yield spec
    for size in (spec.batch_size // 4, spec.batch_size * 4):
        if size >= 1:
            yield spec.model_copy(update={"batch_size": size})
    precisions = ("fp32", "bf16") if spec.device == "cpu" else ("fp32", "tf32", "bf16", "fp16")
    for compiled in (False, True):
        for precision in precisions:
            for channels_last in (False, True):
                setting: dict[str, Any] = {
                    "precision": precision, "channels_last": channels_last, "torch_compile": compiled,
                }  # fmt: skip
                other = spec.model_copy(update=setting)
                if other != spec:
                    yield other
