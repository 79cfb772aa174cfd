"""How fast a network is in other arithmetic and batches than a run's, and whether it votes alike. Shapes: B batch."""

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
from rsbench.jobs.watcher import Watcher
from rsbench.models.checkpoint import Checkpoint
from rsbench.specs import CertificationSpec

_TURNS = 5


@dataclass(frozen=True)
class SettingSpeed:
    """What was measured of one specification of the same run.

    `passes_per_second` of the bare network, None where the setting does not work here, which `refusal` explains.
    `alike`: the share of a batch of noisy copies on which the network votes as in the run's own setting, None where the
    batch is another.
    """

    spec: CertificationSpec
    passes_per_second: float | None
    alike: float | None
    refusal: str = ""


def compare_settings(
    checkpoint: Checkpoint, dataset: ImageDataset, spec: CertificationSpec, *, seconds: float, watcher: Watcher
) -> list[SettingSpeed]:
    """Measure the run's own setting, first, and others that its device has, for about `seconds` each.

    They take turns, and the median of the turns counts. Nothing is chosen by this: a run says what it wants.
    """
    settings = list(_settings(spec))
    watcher.begin("measuring", len(settings) * (1 + _TURNS), "settings' turns")
    try:
        ready: list[_Ready | str] = []
        for setting in settings:
            ready.append(_made_ready(checkpoint, dataset, setting))
            watcher.advance(1)
        rates: list[list[float]] = [[] for _ in settings]
        for _ in range(_TURNS):
            for one, rate in zip(ready, rates, strict=True):
                # One that is slow has had its time after fewer turns.
                if isinstance(one, _Ready) and one.seconds < seconds:
                    rate.append(one.rate(seconds / _TURNS))
                watcher.advance(1)
    finally:
        watcher.end()
    own = ready[0]
    if isinstance(own, str):
        raise UsageError(own)
    return [
        SettingSpeed(setting, None, None, one)
        if isinstance(one, str)
        else SettingSpeed(setting, statistics.median(rate), own.alike(one))
        for setting, one, rate in zip(settings, ready, rates, strict=True)
    ]


class _Ready:
    """A network in one setting, and a batch of noisy copies that lies ready."""

    def __init__(self, network: nn.Module, x_BCHW: Tensor) -> None:
        self._network, self._x_BCHW = network, x_BCHW
        # A first pass is slower.
        self._winner_B = self._pass()
        self.seconds = 0.0

    def rate(self, seconds: float) -> float:
        """Passes a second, for about so long."""
        started, passes = time.perf_counter(), 0
        while passes == 0 or time.perf_counter() - started < seconds:
            self._pass()
            passes += len(self._x_BCHW)
        taken = time.perf_counter() - started
        self.seconds += taken
        return passes / taken

    def alike(self, other: "_Ready") -> float | None:
        """The share of equal votes on the same copies."""
        if len(self._winner_B) != len(other._winner_B):
            return None
        return float((self._winner_B == other._winner_B).double().mean())

    @torch.inference_mode()
    def _pass(self) -> Tensor:
        # The copy waits for the device.
        winner_B: Tensor = self._network(self._x_BCHW).argmax(dim=1).cpu()
        return winner_B


@torch.inference_mode()
def _made_ready(checkpoint: Checkpoint, dataset: ImageDataset, spec: CertificationSpec) -> _Ready | str:
    """The setting, or why it does not work here."""
    chunk = all_chunks(spec)[0]
    try:
        counter = ChunkVoter(CertificationWork(spec, dataset.info, checkpoint))
        images_NCHW, index_N = counter.prepare_images(chunk, dataset.pixels(chunk.indices))
        plan = BatchPlan(spec, len(chunk.indices), counter.device)
        x_BCHW, _ = counter.noisy_batch(images_NCHW, index_N, plan, 0)
        return _Ready(counter.network, x_BCHW)
    except torch.OutOfMemoryError:
        return f"the device has no room for batches of {spec.batch_size}"
    except UsageError as error:
        return str(error)


def _settings(spec: CertificationSpec) -> Iterator[CertificationSpec]:
    """The run's own setting, other sizes of its batches, then each other arithmetic at its own size."""
    yield spec
    for size in (spec.batch_size // 4, spec.batch_size * 4):
        if size >= 1:
            yield spec.model_copy(update={"batch_size": size})
    precisions = ("fp32", "bf16") if spec.device == "cpu" else ("fp32", "tf32", "bf16", "fp16")
    for compiled in (False, True):
        for precision in precisions:
            for channels_last in (False, True):
                wanted: dict[str, Any] = {
                    "precision": precision, "channels_last": channels_last, "torch_compile": compiled,
                }  # fmt: skip
                other = spec.model_copy(update=wanted)
                if other != spec:
                    yield other
