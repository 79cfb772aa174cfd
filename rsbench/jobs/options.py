"""What a user asks of a command, checked as far as that needs neither a dataset nor a network.

Importing this module takes a fraction of a second, so that mistakes are reported quickly.
"""

import os
from dataclasses import dataclass
from typing import Literal

from rsbench.errors import UsageError
from rsbench.methods import method_named
from rsbench.models.architectures import architecture_named
from rsbench.specs import Device, Precision, Procedure
from rsbench.theory.catalogue import CERTIFICATES

_LARGEST_BATCH = 1_000_000


@dataclass(frozen=True)
class CertifyOptions:
    """How images are certified, whichever checkpoint it is."""

    images: str | None = None
    """Which images, as `--images` takes them; None: the default of the dataset."""

    method: str | None = None
    """Method to certify by; None: the one that the checkpoint was trained for."""

    certificate: str | None = None
    """Certificate to declare; None: the method's."""

    procedure: Procedure | None = None
    """How votes become bounds; None: as the method does it."""

    certify_sigma: float | None = None
    """σ to certify with; None: the σ that the checkpoint was trained with."""

    n_select: int = 100
    """Selection votes per image."""

    n_estimate: int | None = None
    """Estimation votes per image; None: the default of the dataset."""

    failure_probability: float = 0.001
    noise_seed: int | None = None
    """Seed of the noise; None: the seed of the training."""

    batch_size: int | None = None
    """Noisy copies per forward pass; None: the default of the network on the device."""

    device: Device = "cpu"
    noise_arithmetic: Literal["grid", "float"] | None = None
    """Whether noise is drawn as integers or in float32; None: as integers where possible."""

    precision: Precision = "fp32"
    channels_last: bool | None = None
    """Memory format of the network's inputs; None: the default of the network."""

    torch_compile: bool = False
    mixed_devices: bool = False
    """Whether devices of several kinds may compute one run."""

    def __post_init__(self) -> None:
        """Raises UsageError for a value that no dataset and no network makes valid."""
        if not 0.0 < self.failure_probability < 1.0:
            raise UsageError(
                f"--alpha {self.failure_probability:g} is not a failure probability: give a number between 0 and 1, "
                "such as 0.001"
            )
        if self.n_select < 1:
            raise UsageError(f"--n0 must be at least 1 (got {self.n_select}); papers use 100")
        if self.n_estimate is not None and self.n_estimate < 1:
            raise UsageError(f"--n must be at least 1 (got {self.n_estimate})")
        for flag, votes in (("--n0", self.n_select), ("--n", self.n_estimate or 0)):
            if votes >= 2**31:
                raise UsageError(f"{flag} must be less than {2**31:,} (got {votes:,})")
        if self.batch_size is not None and not 1 <= self.batch_size <= _LARGEST_BATCH:
            raise UsageError(f"--batch-size must lie between 1 and {_LARGEST_BATCH:,} (got {self.batch_size:,})")
        if self.noise_seed is not None:
            check_seed(self.noise_seed)
        if self.method is not None:
            method_named(self.method)
        if self.certificate is not None and self.certificate not in CERTIFICATES:
            raise UsageError(f"--certificate {self.certificate} is unknown: choose from {', '.join(CERTIFICATES)}")


@dataclass(frozen=True)
class CheckpointDescription:
    """What the user says about a checkpoint; None where the user says nothing.

    It completes an external checkpoint, which consists of weights alone. It must agree with the header of any other.
    """

    method: str | None = None
    """The method that it was trained for."""

    sigma: float | None = None
    """The standard deviation of the noise that it was trained on."""

    architecture: str | None = None
    """The network; for an external checkpoint, that of the dataset by default."""

    offsets_seed: int | None = None
    """The seed of the offsets of deterministic splitting; for an external checkpoint, 0 by default."""

    normalisation: str | None = None
    """The normalisation in front of the network, in one of the forms of `--normalisation`."""


@dataclass(frozen=True)
class CertifyRequest:
    """Which checkpoints to certify, and how."""

    options: CertifyOptions
    description: CheckpointDescription = CheckpointDescription()
    """Which of the store's checkpoints, or what an external checkpoint does not say about itself."""

    checkpoint: str | None = None
    """A file, or the start of a sha256. None: the store's checkpoints of the described method, or all of them that have
    no sealed run."""


@dataclass(frozen=True)
class SweepOptions:
    """The grid of a sweep, and how its checkpoints are certified."""

    methods: tuple[str, ...]
    sigmas: tuple[float, ...]
    seeds: tuple[int, ...]
    epochs: int
    certify: CertifyOptions
    architecture: str | None = None
    """Network to train; None: the default of the dataset."""

    def __post_init__(self) -> None:
        """Raises UsageError for a value that no dataset makes valid."""
        for name in self.methods:
            method_named(name)
        for seed in self.seeds:
            check_seed(seed)
        if self.architecture is not None:
            architecture_named(self.architecture)
        if self.epochs < 1:
            raise UsageError(f"--epochs must be at least 1 (got {self.epochs})")


def check_seed(seed: int) -> None:
    """Raises UsageError when a seed is out of range."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed must lie between 0 and {2**32 - 1} (got {seed})")


def worker_count(workers: int | None, device: Device) -> int:
    """The number of workers: as asked for, else one per GPU or core.

    They are those of the Ray cluster at RAY_ADDRESS if that is set, else those of this machine.
    """
    if workers is not None:
        return workers
    if "RAY_ADDRESS" in os.environ:
        from rsbench.cluster.session import cluster_resources

        return max(1, int(cluster_resources()["GPU" if device == "cuda" else "CPU"]))
    if device == "cuda":
        from rsbench.models.device import count_gpus

        return count_gpus()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
