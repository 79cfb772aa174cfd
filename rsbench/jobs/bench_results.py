"""The last results of `rsbench bench`, from which other commands estimate their time: small files in the home.

A result is of a network and of whatever else changes its speed; the next one of the same replaces it.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from pydantic import AwareDatetime, Field, ValidationError

from rsbench.atomic_files import write_atomically
from rsbench.jobs.bench import Speed
from rsbench.models.device import describe_device
from rsbench.specs import CertificationSpec, CheckpointHeader, Spec, canonical_json

# What of a specification does not change the speed, or stands in a field of its own. All the rest does, also what is
# added to specifications later: a result that fits too seldom does less harm than one that fits too often.
_SAME_SPEED = frozenset({
    "method", "checkpoint_sha256", "dataset", "dataset_fingerprint", "images", "measure", "certificate", "budget",
    "seed", "chunk_images", "device", "mixed_devices", "noise",
})  # fmt: skip


class BenchResult(Spec):
    """How many passes a worker makes in a second on the whole way of a run, those that only fill batches included.

    `options`: what else of a specification changes the speed, as the batch size.
    """

    architecture: str
    shape: tuple[int, int, int]
    device: str
    family: str
    options: dict[str, Any]
    passes_per_second: float = Field(ge=1e-6)
    measured_at: AwareDatetime

    @property
    def name(self) -> str:
        """Names what was measured, whatever came out."""
        what = self.model_dump(mode="json", exclude={"passes_per_second", "measured_at"})
        return hashlib.sha256(canonical_json(what).encode()).hexdigest()[:16]


def keep_result(home: Path, header: CheckpointHeader, spec: CertificationSpec, speed: Speed) -> None:
    """Put a result in its place, that of the last one of the same. Raises OSError when it cannot be written."""
    result = BenchResult(
        architecture=header.architecture,
        shape=header.shape,
        device=speed.device,
        family=spec.measure.family,
        options=_options(spec),
        passes_per_second=speed.full * (1.0 + speed.padding),
        measured_at=datetime.now(UTC),
    )
    folder = home / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{result.name}.json", f"{result.canonical_json()}\n".encode())


def kept_results(home: Path, say: Callable[[str], None]) -> list[BenchResult]:
    """All results that can be read; `say` is told of each file that cannot."""
    results = []
    for file in sorted((home / "bench").glob("*.json")):
        try:
            results.append(BenchResult.from_json(file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, ValidationError):
            say(f"{file} is no result of rsbench bench that can be read: remove it, and run rsbench bench again")
    return results


def last_result(
    results: Iterable[BenchResult], architecture: str, shape_CHW: Sequence[int], spec: CertificationSpec
) -> BenchResult | None:
    """The result that tells most of how fast a run will be here: of its noise, else the newest of another noise.

    None where there is none of its network, device and options.
    """
    # The driver of a cluster may have no GPU itself: whatever was measured then, it was not on the workers' device.
    if spec.device == "cuda" and not torch.cuda.is_available():
        return None
    wanted = (architecture, tuple(shape_CHW), describe_device(spec.device), _options(spec))
    alike = [
        result for result in results if (result.architecture, result.shape, result.device, result.options) == wanted
    ]
    family = spec.measure.family
    return max(alike, key=lambda result: (result.family == family, result.measured_at), default=None)


def _options(spec: CertificationSpec) -> dict[str, Any]:
    return {name: value for name, value in spec.model_dump(mode="json").items() if name not in _SAME_SPEED}
