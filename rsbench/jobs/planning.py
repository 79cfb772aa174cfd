"""The runs that a command is to certify: from checkpoints, images and options to specifications."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from rsbench.certification.plan import default_chunk_images
from rsbench.data.dataset import ImageDataset, Normalisation
from rsbench.data.subset import canonical, choose_images
from rsbench.errors import UsageError
from rsbench.families import FAMILIES
from rsbench.jobs.checkpoints import CheckpointReference, check_suits, load_file
from rsbench.jobs.options import CertifyOptions, CertifyRequest, CheckpointDescription
from rsbench.methods import Method, measure_for, method_certifying, method_named, training_name
from rsbench.models.architectures import architecture_named, is_buildable
from rsbench.models.checkpoint import BaseClassifier
from rsbench.records import DatasetInfo
from rsbench.specs import (
    CertificationSpec,
    CheckpointHeader,
    MeasureSpec,
    Noise,
    SampleBudget,
    TrainingSpec,
)
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.confidence import smallest_certifying_n


@dataclass(frozen=True, eq=False)
class PlannedRun:
    """A run that a command is to certify."""

    spec: CertificationSpec
    checkpoint: CheckpointReference


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


def plan_run(classifier: BaseClassifier, path: str, dataset: ImageDataset, options: CertifyOptions) -> PlannedRun:
    """The run of a classifier that is in memory.

    path: of its file, empty if it has none.
    Raises UsageError when an option is out of range, or the noise cannot be drawn.
    """
    plan = plan_reference(CheckpointReference.of(classifier, path), dataset, options)
    check_noise(plan.spec, dataset.info)
    return plan


def plan_reference(checkpoint: CheckpointReference, dataset: ImageDataset, options: CertifyOptions) -> PlannedRun:
    """The run of a checkpoint. Raises UsageError when an option is out of range.

    Whether the noise can be drawn is not checked: see `check_noise`.
    """
    return PlannedRun(plan_spec(checkpoint.header, checkpoint.sha256, dataset, options), checkpoint)


def plan_request(store: Store, home: Path, dataset: ImageDataset, request: CertifyRequest) -> list[PlannedRun]:
    """The runs of a request. Raises what `choose_checkpoints` and `plan_reference` raise."""
    checkpoints = choose_checkpoints(store, home, dataset, request.description, checkpoint=request.checkpoint)
    return [plan_reference(checkpoint, dataset, request.options) for checkpoint in checkpoints]


def plan_spec(
    header: CheckpointHeader | TrainingSpec, sha256: str, dataset: ImageDataset, options: CertifyOptions
) -> CertificationSpec:
    """The specification of a run of a network, which may still have to be trained."""
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
    """Return how the noise of a run is drawn: as integers wherever possible, unless the options choose float32.

    Raises UsageError when the options ask for integer noise and it is not possible.
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


def check_noise(spec: CertificationSpec, info: DatasetInfo) -> None:
    """Raises UsageError when the images are too large, or the noise is too wide, for the noise to be drawn."""
    from rsbench.smoothing.build import build_measure
    from rsbench.smoothing.randomness import MAX_VALUES_PER_COPY

    if math.prod(info.shape) > MAX_VALUES_PER_COPY:
        raise UsageError(
            f"{info.name} has images of {math.prod(info.shape):,} values, and noise is keyed for "
            f"{MAX_VALUES_PER_COPY:,} at most: make them smaller"
        )
    try:
        build_measure(spec.measure, q=info.q, shape_CHW=info.shape, on_grid=spec.noise == "philox4x32-grid")
    except ValueError as error:
        raise UsageError(f"sigma {spec.measure.sigma:g} on {info.name}: {error}") from error


def choose_checkpoints(
    store: Store, home: Path, dataset: ImageDataset, description: CheckpointDescription, *, checkpoint: str | None
) -> list[CheckpointReference]:
    """The checkpoint of that file or sha256, or the checkpoints of the store that match the description.

    If the description names no method, these are all that have no sealed run.
    Raises UsageError when there is none, CheckpointError when one does not suit the dataset or the description.
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
        chosen = [CheckpointReference.registered(record, home) for record in records]
    for reference in chosen:
        check_suits(reference, dataset, description)
    return chosen


def named_checkpoint(
    store: Store, home: Path, dataset: ImageDataset, description: CheckpointDescription, name: str, *,
    default_normalisation: Normalisation | None = None,
) -> CheckpointReference:  # fmt: skip
    """The checkpoint of a file, or the checkpoint of the store whose sha256 begins with `name`.

    default_normalisation: as in `load_file`.
    Raises UsageError when there is none, CheckpointError when it cannot be read.
    """
    if Path(name).is_file():
        registered = store.checkpoints(dataset.info.fingerprint)
        checkpoint = load_file(
            Path(name), dataset, description, registered, default_normalisation=default_normalisation
        )
        return CheckpointReference.of(checkpoint, str(Path(name).resolve()))
    records = store.checkpoints(sha256_prefix=name) if len(name) >= 4 else []
    if len(records) != 1:
        raise UsageError(
            f"--checkpoint {name}: there is no such file, and {len(records)} checkpoints of the store begin with it"
        )
    return CheckpointReference.registered(records[0], home)


def _nothing_to_certify(store: Store, dataset: ImageDataset, description: CheckpointDescription) -> str:
    name = dataset.info.name
    method = description.method or "dssn"
    if description.method is None and store.checkpoints(dataset.info.fingerprint):
        return (
            f"every known checkpoint of {name} has a sealed run: name one with --checkpoint or --method "
            "to certify it again under other options"
        )
    of_method = f" of {description.method}" if description.method else ""
    at = f" at sigma {description.sigma:g}" if description.sigma is not None else ""
    network = f" --architecture {description.architecture}" if description.architecture is not None else ""
    if dataset.training_set() is None:
        return f"no checkpoint{of_method}{at} of {name} is known: give a file with --checkpoint FILE"
    return (
        f"no checkpoint{of_method}{at} of {name} is known{network and f' with{network}'}: give a file with "
        f"--checkpoint FILE, or train one with rsbench sweep --method {method} --dataset {name}{network}"
    )
