"""How fast a network votes here: by the last bench of it, else by the newest run of it in the store."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rsbench.data.dataset import ImageDataset
from rsbench.jobs.batches import batches, votes
from rsbench.jobs.bench_results import BenchResult, last_result
from rsbench.models.architectures import architecture_named
from rsbench.records import Chunk
from rsbench.report.commands import arithmetic_options
from rsbench.specs import CertificationSpec

# Passes a second of an architecture on a kind of device.
StoredSpeed = Callable[[str, str], float | None]


@dataclass(frozen=True)
class KnownSpeed:
    """Passes of one worker in a second, and how that is known: `told` in words.

    A bench counts the passes that fill batches, and a stored run those that vote. Where `source` is None nothing is
    known, and `told` says what to do.
    """

    architecture: str
    source: Literal["bench", "store"] | None
    passes_per_second: float | None
    told: str

    def seconds(self, spec: CertificationSpec, chunks: Sequence[Chunk], workers: int) -> float | None:
        """How long so many workers take for these chunks of a run, whose batches can be shared."""
        if self.passes_per_second is None:
            return None
        passes = spec.batch_size * batches(spec, chunks) if self.source == "bench" else votes(spec, chunks)
        return passes / self.passes_per_second / max(1, min(workers, batches(spec, chunks)))


def known_speed(
    results: Sequence[BenchResult], stored: StoredSpeed, architecture: str, dataset: ImageDataset,
    spec: CertificationSpec,
) -> KnownSpeed:  # fmt: skip
    """The speed of a run's network on its images."""
    bench = last_result(results, architecture, dataset.info.shape, spec)
    if bench is not None:
        noise = "" if bench.family == spec.measure.family else f", of {bench.family} noise"
        told = f"{architecture}: rsbench bench of {bench.measured_at:%Y-%m-%d}{noise}"
        return KnownSpeed(architecture, "bench", bench.passes_per_second, told)
    speed = stored(architecture, spec.device)
    if speed is not None:
        return KnownSpeed(architecture, "store", speed, f"{architecture}: the newest sealed run of it here")
    words = ["--dataset", dataset.info.name, "--architecture", architecture, "--batch-size", str(spec.batch_size)]
    usual = architecture_named(architecture).channels_last == spec.channels_last
    arithmetic = arithmetic_options(spec.model_copy(update={"mixed_devices": False}))
    words += ["--device", spec.device, *(word for word in arithmetic if not (usual and "channels-last" in word))]
    return KnownSpeed(
        architecture,
        None,
        None,
        f"the speed of {architecture} is not known here: run rsbench bench {shlex.join(words)}",
    )
