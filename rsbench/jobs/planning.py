"""Which runs are asked for: specifications of checkpoints, images and options."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rsbench.certification.plan import default_chunk_images
from rsbench.data.dataset import ImageDataset, Normalisation
from rsbench.data.subset import canonical, choose_images
from rsbench.errors import UsageError
from rsbench.families import FAMILIES
from rsbench.jobs.checkpoints import CheckpointDescription, check_suits, load_file, load_registered
from rsbench.methods import Method, measure_for, method_certifying, method_named, training_name
from rsbench.models.architectures import architecture_named, is_buildable
from rsbench.models.checkpoint import BaseClassifier, Checkpoint
from rsbench.records import DatasetInfo
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.randomness import MAX_VALUES_PER_COPY
from rsbench.specs import (
    CertificationSpec,
    CheckpointHeader,
    MeasureSpec,
    Noise,
    Precision,
    Procedure,
    SampleBudget,
    TrainingSpec,
)
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.confidence import smallest_certifying_n

_LARGEST_BATCH = 1_000_000


@dataclass(frozen=True)
class CertifyOptions:
    """How images are certified, whichever checkpoint it is. None means the default of the data set or the network."""

    images: str | None = None
    method: str | None = None
    """Method to certify by; None: the one that the checkpoint was trained for."""

    certificate: str | None = None
    """Certificate to declare; None: the method's."""

    procedure: Procedure | None = None
    """How votes become bounds; None: as the method does it."""

    certify_sigma: float | None = None
    """σ to certify with; None: the σ that the checkpoint was trained with."""

    n_select: int = 100
    n_estimate: int | None = None
    failure_probability: float = 0.001
    noise_seed: int | None = None
    batch_size: int | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    noise_arithmetic: Literal["grid", "float"] | None = None
    precision: Precision = "fp32"
    channels_last: bool | None = None
    torch_compile: bool = False
    mixed_devices: bool = False

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


def check_seed(seed: int) -> None:
    """Raises UsageError when a seed is out of range."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"--seed must lie between 0 and {2**32 - 1} (got {seed})")


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A run that was asked for, and the checkpoint it is of."""

    spec: CertificationSpec
    checkpoint: BaseClassifier
    path: str


def sample_budget(options: CertifyOptions, dataset: ImageDataset) -> SampleBudget:
    """The votes of an image. Raises UsageError when no image could be certified with them."""
    n = options.n_estimate if options.n_estimate is not None else dataset.default_n
    alpha = options.failure_probability
    if n < (needed := smallest_certifying_n(alpha)):
        raise UsageError(
            f"--n {n} certifies no image at --alpha {alpha:g}, not even one with a unanimous vote: give at least "
            f"{needed}"
        )
    return SampleBudget(n_select=options.n_select, n_estimate=n, failure_probability=alpha)


def plan_run(checkpoint: BaseClassifier, path: str, dataset: ImageDataset, options: CertifyOptions) -> PlannedRun:
    """The run of a checkpoint under the options. Raises UsageError when an option is out of range."""
    return PlannedRun(plan_spec(checkpoint.header, checkpoint.sha256, dataset, options), checkpoint, path)


def plan_spec(
    header: CheckpointHeader | TrainingSpec, sha256: str, dataset: ImageDataset, options: CertifyOptions
) -> CertificationSpec:
    """Return the run of a network that is described, such as one that is still to be trained."""
    info = dataset.info
    method = declared_method(header, options)
    measure = certified_measure(header, method, options, info)
    indices = choose_images(options.images or dataset.default_images, info.images)
    budget = None if measure.is_enumerated else sample_budget(options, dataset)
    passes = measure.levels or (budget.n_select + budget.n_estimate if budget else 0)
    architecture = architecture_named(header.architecture)
    batch_size = architecture.batch_size(options.device) if options.batch_size is None else options.batch_size
    noise_seed = options.noise_seed if options.noise_seed is not None else header.seed or 0
    noise = noise_of(options, measure, info)
    _check_drawn(measure, info, noise)
    return CertificationSpec(
        method=method.name,
        checkpoint_sha256=sha256,
        dataset=info.name,
        dataset_fingerprint=info.fingerprint,
        images=canonical(indices),
        measure=measure,
        certificate=method.certificate,
        procedure=method.procedure,
        budget=budget,
        # An enumerated run draws nothing, so no noise seed sets two of them apart.
        seed=(header.seed or 0) if budget is None else noise_seed,
        batch_size=batch_size,
        chunk_images=default_chunk_images(batch_size, passes),
        device=options.device,
        noise=noise,
        precision=options.precision,
        channels_last=architecture.channels_last if options.channels_last is None else options.channels_last,
        torch_compile=options.torch_compile,
        mixed_devices=options.mixed_devices,
    )


def declared_method(header: CheckpointHeader | TrainingSpec, options: CertifyOptions) -> Method:
    """Return the method of a run, with the certificate and the procedure that the run declares.

    Certificate and procedure that another method is named for give that method: `uniform` with `box` and top-two bounds
    is `uniform++`. Raises UsageError when they do not hold for the noise, or the checkpoint was trained otherwise.
    """
    training = method_named(header.method if isinstance(header, CheckpointHeader) else training_name(header))
    method = training if options.method is None else method_named(options.method)
    if method.training != training.training:
        raise UsageError(
            f"--method {method.name} certifies checkpoints that {method.training} trained, and this one was trained by "
            f"{training.name}: leave --method out, or give another checkpoint"
        )
    certificate, procedure = options.certificate or method.certificate, options.procedure or method.procedure
    try:
        CERTIFICATES[certificate].check_measure(method.family)
    except ValueError as error:
        raise UsageError(f"--certificate {certificate}: {error}") from error
    if CERTIFICATES[certificate].looks_at_images:
        raise UsageError(
            f"--certificate {certificate} looks at the pixels of each image, which certification does not pass on: "
            "certify first, then run rsbench recertify with it"
        )
    if method.is_enumerated and options.procedure is not None:
        raise UsageError(f"--bounds {procedure}: {method.name} is exact and needs no bounds: leave --bounds out")
    named = method_certifying(method, certificate, procedure)
    return replace(named, certificate=certificate, procedure=procedure)


def certified_measure(
    header: CheckpointHeader | TrainingSpec, method: Method, options: CertifyOptions, info: DatasetInfo
) -> MeasureSpec:
    """Return the measure that a run certifies with: the one of the training, or the same family at another σ."""
    trained = header.measure
    if options.certify_sigma is None or options.certify_sigma == trained.sigma:
        return trained
    return measure_for(method, options.certify_sigma, q=info.q, offsets_seed=trained.offsets_seed or 0)


def noise_of(options: CertifyOptions, measure: MeasureSpec, info: DatasetInfo) -> Noise:
    """How noise is drawn: in whole numbers wherever it can be, unless told otherwise.

    Raises UsageError when whole numbers are asked for and cannot be had.
    """
    if measure.is_enumerated:
        return "enumerated"
    possible = FAMILIES.lookup(measure.family).supports_integer_noise and info.q is not None
    if options.noise_arithmetic == "grid" and not possible:
        reason = (
            f"{info.name} has images on no grid" if info.q is None else f"{measure.family} noise is no whole number"
        )
        raise UsageError(f"--noise-arithmetic grid: {reason}: leave it out")
    return "philox4x32-grid" if possible and options.noise_arithmetic != "float" else "philox4x32-float"


def _check_drawn(measure: MeasureSpec, info: DatasetInfo, noise: Noise) -> None:
    """Raises UsageError when images are too large, or a law too wide, for the noise to be drawn."""
    if math.prod(info.shape) > MAX_VALUES_PER_COPY:
        raise UsageError(
            f"{info.name} has images of {math.prod(info.shape):,} values, and noise is keyed for "
            f"{MAX_VALUES_PER_COPY:,} at most: make them smaller"
        )
    try:
        build_measure(measure, q=info.q, shape_CHW=info.shape, on_grid=noise == "philox4x32-grid")
    except ValueError as error:
        raise UsageError(f"sigma {measure.sigma:g} on {info.name}: {error}") from error


def choose_checkpoints(
    store: Store, home: Path, dataset: ImageDataset, description: CheckpointDescription, *, checkpoint: str | None
) -> list[tuple[Checkpoint, str]]:
    """The checkpoints that were asked for, with their paths: a file, a known id, a method's, or all without a run.

    Raises UsageError when there is none, CheckpointError when one does not suit.
    """
    if checkpoint is not None:
        chosen = [named_checkpoint(store, home, dataset, description, checkpoint)]
    else:
        if description.architecture is not None:
            architecture_named(description.architecture)
        trained_for = None if description.method is None else method_named(description.method).training
        records = store.checkpoints(
            dataset.info.fingerprint, method=trained_for, without_sealed_run=description.method is None
        )
        records = [
            r
            for r in records
            if description.sigma in (None, r.sigma)
            and description.architecture in (None, r.header.architecture)
            and is_buildable(r.header.architecture)
        ]
        if not records:
            raise UsageError(_nothing_to_certify(store, dataset, description))
        chosen = [(load_registered(record, home), record.path) for record in records]
    for found, _ in chosen:
        check_suits(found, dataset, description)
    return chosen


def named_checkpoint(
    store: Store, home: Path, dataset: ImageDataset, description: CheckpointDescription, name: str, *,
    default_normalisation: Normalisation | None = None,
) -> tuple[Checkpoint, str]:  # fmt: skip
    """The checkpoint of a file, or the registered one whose sha256 begins with `name`, and its path.

    default_normalisation: as in `load_file`.
    Raises UsageError when there is none, CheckpointError when it cannot be read.
    """
    if Path(name).is_file():
        registered = store.checkpoints(dataset.info.fingerprint)
        checkpoint = load_file(
            Path(name), dataset, description, registered, default_normalisation=default_normalisation
        )
        return checkpoint, str(Path(name).resolve())
    records = store.checkpoints(sha256_prefix=name) if len(name) >= 4 else []
    if len(records) != 1:
        raise UsageError(f"--checkpoint {name}: no such file, and {len(records)} known checkpoints begin with it")
    return load_registered(records[0], home), records[0].path


def _nothing_to_certify(store: Store, dataset: ImageDataset, description: CheckpointDescription) -> str:
    name = dataset.info.name
    method = description.method or "dssn"
    if description.method is None and store.checkpoints(dataset.info.fingerprint):
        return (
            f"every known checkpoint of {name} has a sealed run: name one with --checkpoint or --method "
            "to certify it again under other options"
        )
    wanted = f" of {description.method}" if description.method else ""
    at = f" at sigma {description.sigma:g}" if description.sigma is not None else ""
    network = f" --architecture {description.architecture}" if description.architecture is not None else ""
    if dataset.training_set() is None:
        return f"no checkpoint{wanted}{at} of {name} is known: give a file with --checkpoint FILE"
    return (
        f"no checkpoint{wanted}{at} of {name} is known{network and f' with{network}'}: give a file with "
        f"--checkpoint FILE, or train one with rsbench sweep --method {method} --dataset {name}{network}"
    )
