"""`rsbench.certify`: certify images under a network, in one call. Shapes: N images, C×H×W an image, K classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from typing import Literal

import numpy.typing as npt
from torch import nn

from rsbench.api.inputs import certification_inputs
from rsbench.api.keywords import checked_bounds, keyword_errors
from rsbench.api.result import Certification
from rsbench.api.store import ResultStore
from rsbench.certification.plan import spec_prefixes
from rsbench.data.dataset import ImageDataset
from rsbench.errors import UsageError
from rsbench.home import home
from rsbench.jobs.certify import certify_without_store, run_certification
from rsbench.jobs.checkpoints import save_checkpoint
from rsbench.jobs.options import CertifyOptions
from rsbench.jobs.planning import PlannedRun, plan_run
from rsbench.jobs.preflight import check_above_chance
from rsbench.jobs.progress import ProgressListener
from rsbench.jobs.recertify import fetch_caps_of
from rsbench.models.device import settings_restored, usable_device
from rsbench.plugins import load_plugins
from rsbench.records import ImageColumns
from rsbench.specs import MeasureSpec, Precision, Procedure, deterministic_levels
from rsbench.store.store import Store

# The name of a dataset that was given as arrays, on the board and in messages.
_UNNAMED = "arrays"


def certify(
    network: nn.Module | str | PathLike[str],
    images: npt.ArrayLike | ImageDataset,
    labels: npt.ArrayLike | None = None,
    *,
    measure: MeasureSpec | None = None,
    n: int | None = None,
    alpha: float = 0.001,
    n0: int = 100,
    certificate: str | None = None,
    bounds: Procedure | None = None,
    seed: int | None = None,
    architecture: str | None = None,
    q: int | None = None,
    subset: str | None = None,
    dataset: str = _UNNAMED,
    batch_size: int | None = None,
    device: Literal["cpu", "cuda"] | None = None,
    precision: Precision = "fp32",
    channels_last: bool | None = None,
    noise_arithmetic: Literal["grid", "float"] | None = None,
    workers: int = 0,
    store: ResultStore | str | PathLike[str] | None = None,
    force: bool = False,
    progress: ProgressListener | None = None,
) -> Certification:
    """Certify images under a network and return their classes, radii and votes.

    This is the path of `rsbench certify`: the same network, images and arguments give the same votes, byte by byte.

    Parameters
    ----------
    network
        A torch module from images in [0,1] plus noise, float32 B×C×H×W, to logits, B×K; it normalises its input itself.
        The module is copied, and the copy is used in evaluation mode, without the wrapper of `torch.compile`. Or the
        path of a checkpoint that rsbench wrote; with a store also the start of the SHA-256 of a checkpoint in it.
    images
        N×C×H×W: whole numbers k of k/q, or floats in [0,1]. Or a dataset from `rsbench.load_dataset`.
    labels
        The N classes; those of the dataset if `images` is one. Without labels there is no accuracy, and no run can be
        stored.
    measure
        The smoothing measure, such as `rsbench.gaussian(0.5)`. A checkpoint has one of its own; for it, another
        standard deviation may be given.
    n
        How many votes certify an image; the dataset's default, 1000 for arrays, if it is left out. Exact measures have
        no n.
    alpha
        The certified radius of an image is wrong with probability at most alpha, one-sided.
    n0
        How many further votes select the class.
    certificate
        Name of the certificate, see `rsbench.certificates.names()`; the one that suits the measure if it is left out.
    bounds
        How alpha is spent: `one-versus-rest`, which is the default, or `top-two`.
    seed
        Seed of the noise; the training seed of a checkpoint, else 0, if it is left out.
    architecture
        What can build the module again, `package.module:factory` or a name that `--architecture` takes; the factory
        gets the number of classes and the shape C×H×W. With it and a store, the weights are kept too, and
        `rsbench verify` can count the votes again.
    q
        The pixels lie on the grid k/q; 255 for whole numbers if it is left out. Floats lie on no grid if it
        is left out.
    subset
        Which of the images are certified: `all`, `first:COUNT`, `every:STEP` or a file of indices. The dataset's
        default, `all` for arrays, if it is left out. Indices are those in `images`, and decide the noise of an image.
    dataset
        Name of the images on the board, where they are arrays.
    batch_size
        Noisy copies per forward pass; the default of the architecture if it is left out, 64 on a CPU and 256 on a GPU
        for a module. It is part of a run's identity.
    device
        `cpu` or `cuda`; `cuda` where it is usable if it is left out.
    precision
        Arithmetic of the network: `fp32`, `tf32`, `bf16` or `fp16`.
    channels_last
        Whether the channels of a pixel lie together in memory; the default of the architecture if it is left out.
    noise_arithmetic
        `grid` draws uniform and splitting noise as integers, which is the default for images on a grid; `float`
        draws it in float32.
    workers
        How many Ray workers count votes; 0 counts in this process, on one CPU core or one GPU.
    store
        Where the run is kept: an open store, or the path or URL of one, which is made if it is not there yet. The same
        call again resumes the run, or reads it if it is sealed.
    force
        Whether to certify a network that classifies no better than by guessing. It is refused otherwise, because wrong
        normalisation is the usual reason.
    progress
        A listener that receives the progress of the work.

    Returns
    -------
    Certification
        `images` is the frame of classes, radii and votes.

    Raises
    ------
    UsageError
        If an argument is missing, unknown or out of range, or the network does not take the images.
    DataError
        If a pixel lies outside [0,1].
    CheckpointError
        If a checkpoint cannot be read or does not suit the images, if the network returns NaN or infinity, or if it
        guesses.
    IncompleteError
        If another process works on the run in the store, or workers keep failing.
    """
    with keyword_errors(), settings_restored():
        load_plugins()
        options = CertifyOptions(
            images=subset,
            certificate=certificate,
            procedure=checked_bounds(bounds),
            certify_sigma=getattr(measure, "sigma", None),
            n_select=n0,
            n_estimate=n,
            failure_probability=alpha,
            noise_seed=seed,
            batch_size=batch_size,
            device=usable_device(device, precision),
            noise_arithmetic=noise_arithmetic,
            precision=precision,
            channels_last=channels_last,
        )
        if workers < 0:
            raise UsageError(f"workers must be at least 0 (got {workers})")
        is_labelled = labels is not None or isinstance(images, ImageDataset)
        if store is not None and not is_labelled:
            raise UsageError("a store keeps labelled images only: give labels, or leave store out")
        # What is refused is refused before a database is made.
        with _reading(store) as existing:
            inputs = certification_inputs(
                network, images, labels, measure=measure, architecture=architecture, q=q, name=dataset, store=existing
            )
            data = inputs.dataset
            plan = plan_run(inputs.classifier, inputs.path, data, options)
            _check_measure(measure, plan, data, n)
            fingerprint = plan.spec.fingerprint()
            if is_labelled and not force and (existing is None or existing.find_run(fingerprint) is None):
                check_above_chance(inputs.classifier, data, plan.spec.images)
        listener = progress or _Silence()
        if store is None:
            columns = certify_without_store(data, plan, workers=workers, listener=listener)
        else:
            with _writing(store) as opened:
                if inputs.unsaved is not None:
                    save_checkpoint(inputs.unsaved, home())
                run_certification(opened, data, [plan], workers=workers, listener=listener)
                columns = _stored_images(opened, fingerprint)
        spec = plan.spec
        return Certification(
            measure=spec.measure,
            certificate=spec.certificate,
            bounds=spec.procedure,
            n=spec_prefixes(spec)[-1],
            alpha=spec.failure_probability,
            dataset=data.info,
            run=None if store is None else fingerprint,
            is_labelled=is_labelled,
            columns=columns,
            caps=fetch_caps_of(data),
        )


def _check_measure(measure: MeasureSpec | None, plan: PlannedRun, data: ImageDataset, n: int | None) -> None:
    """Raise UsageError when the run would not be certified as the caller says."""
    used, q = plan.spec.measure, data.info.q
    if measure is not None and measure != used:
        raise UsageError(
            f"the checkpoint was trained for another measure ({used}): only its sigma may be another, got {measure}"
        )
    if used.is_enumerated and n is not None:
        raise UsageError(f"{used.family} has no n, because all {used.levels} splits are evaluated: leave n out")
    if used.family == "deterministic-splitting" and q is not None:
        expected = deterministic_levels(used.sigma, q)
        if used.levels != expected:
            raise UsageError(
                f"the measure has {used.levels} splits, and sigma {used.sigma:g} on these images, whose q is {q}, has "
                f"{expected}: give deterministic_splitting({used.sigma:g}, q={q})"
            )


def _stored_images(store: Store, fingerprint: str) -> ImageColumns:
    record = store.find_run(fingerprint)
    assert record is not None  # noqa: S101 - it was just sealed
    return store.image_columns(record.id, with_votes=True)


@contextmanager
def _reading(store: ResultStore | str | PathLike[str] | None) -> Iterator[Store | None]:
    """The store for planning; one that is not there yet is not made."""
    if store is None:
        yield None
        return
    if isinstance(store, ResultStore):
        yield store.store
        return
    with Store.open_or_empty(str(store)) as opened:
        yield opened


@contextmanager
def _writing(store: ResultStore | str | PathLike[str]) -> Iterator[Store]:
    if isinstance(store, ResultStore):
        yield store.store
        return
    with Store.create_or_open(str(store)) as opened:
        yield opened


class _Silence:
    """Hears progress and says nothing."""

    def begin(self, task: str, total: int, unit: str) -> None:
        pass

    def advance(self, amount: int, detail: str = "") -> None:
        pass

    def end(self) -> None:
        pass

    def say(self, line: str) -> None:
        pass
