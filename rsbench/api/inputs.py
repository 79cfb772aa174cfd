"""The network and the images that a caller passes in, as certification takes them.

Shapes: N images, C channels, H height, W width.
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from rsbench.data.dataset import ImageDataset, Pixels, check_pixels, unit_images
from rsbench.data.in_memory import ArrayDataset
from rsbench.errors import CheckpointError, UsageError
from rsbench.home import home
from rsbench.jobs.checkpoints import check_suits, checkpoint_path, load_registered, read_checkpoint_file
from rsbench.jobs.options import CheckpointDescription
from rsbench.methods import METHODS
from rsbench.models.checkpoint import BaseClassifier, Checkpoint, safetensors_header
from rsbench.models.module import ModuleClassifier, class_count, module_checkpoint, module_header, unwrapped
from rsbench.records import IntArray
from rsbench.specs import MeasureSpec
from rsbench.store.store import Store


@dataclass(frozen=True, eq=False)
class CertificationInputs:
    """What is to be certified."""

    dataset: ImageDataset
    classifier: BaseClassifier
    path: str
    """Where the store is to look for the file of the classifier; the class of a module that has no file."""

    unsaved: Checkpoint | None = None
    """The weights of a module that its architecture builds again; None for any other classifier."""


def certification_inputs(
    network: nn.Module | str | PathLike[str],
    images: npt.ArrayLike | ImageDataset,
    labels: npt.ArrayLike | None,
    *,
    measure: MeasureSpec | None,
    architecture: str | None,
    q: int | None,
    name: str,
    store: Store | None,
) -> CertificationInputs:
    """Check the network and the images of `rsbench.certify`, and return them as certification takes them.

    name: of the dataset where the images are an array. store: where the network may be looked up.
    Raises UsageError, DataError or CheckpointError as `rsbench.certify` does.
    """
    if measure is not None and not isinstance(measure, MeasureSpec):
        raise UsageError(f"measure must be one such as rsbench.gaussian(0.5), got {measure!r}")
    if isinstance(network, nn.Module):
        return _of_module(unwrapped(network), images, labels, measure, architecture, q, name)
    if not isinstance(network, str | PathLike):
        raise UsageError(f"network must be a torch module or the path of a checkpoint, got a {type(network).__name__}")
    if architecture is not None:
        raise UsageError("architecture belongs to a module, and a checkpoint names its own: leave it out")
    checkpoint, path = _find_checkpoint(str(network), store)
    header = checkpoint.header
    dataset = _dataset_of(images, labels, lambda _: header.classes, q=q, name=name)
    if isinstance(images, ImageDataset):
        check_suits(checkpoint, dataset, CheckpointDescription())
    elif dataset.info.shape != header.shape:
        raise CheckpointError(
            f"checkpoint {checkpoint.sha256[:12]} takes images of the shape {header.shape}, and these have the shape "
            f"{dataset.info.shape}: give images of that shape"
        )
    return CertificationInputs(dataset, checkpoint, path)


def _of_module(
    network: nn.Module,
    images: npt.ArrayLike | ImageDataset,
    labels: npt.ArrayLike | None,
    measure: MeasureSpec | None,
    architecture: str | None,
    q: int | None,
    name: str,
) -> CertificationInputs:
    if measure is None:
        raise UsageError("measure is missing: give the one that the network was trained for, as rsbench.gaussian(0.5)")
    dataset = _dataset_of(images, labels, lambda x_NCHW: class_count(network, x_NCHW), q=q, name=name)
    header = module_header(
        network, dataset.info, architecture=architecture, method=_method_of(measure), measure=measure
    )
    if architecture is None:
        return CertificationInputs(dataset, ModuleClassifier(network, header), header.architecture)
    checkpoint = module_checkpoint(network, header, unit_images(dataset.pixels([0]), dataset.info.q))
    return CertificationInputs(
        dataset, checkpoint, str(checkpoint_path(checkpoint.sha256, home()).resolve()), checkpoint
    )


def _method_of(measure: MeasureSpec) -> str:
    """Return the name of the method that trains on a measure; how a module was trained is not known."""
    for method in METHODS.values():
        if method.family == measure.family:
            return method.training
    raise UsageError(f"no method smooths with the measure {measure.family}: register one in rsbench.methods.METHODS")


def _dataset_of(
    images: npt.ArrayLike | ImageDataset,
    labels: npt.ArrayLike | None,
    find_class_count: Callable[[Tensor], int],
    *,
    q: int | None,
    name: str,
) -> ImageDataset:
    """Return the images as a dataset. `find_class_count` finds the number of classes from the first images."""
    if isinstance(images, ImageDataset):
        if labels is not None or q is not None:
            raise UsageError("labels and q are those of the dataset: leave them out, or give the images as an array")
        classes = find_class_count(unit_images(images.pixels([0]), images.info.q))
        if classes != images.info.classes:
            raise UsageError(f"{images.info.name} has {images.info.classes} classes, and the network returns {classes}")
        return images
    pixels_NCHW, steps = _pixels_of(images, q)
    classes = find_class_count(unit_images(pixels_NCHW[:2], steps))
    labels_N = np.full(len(pixels_NCHW), -1) if labels is None else _labels_of(labels, len(pixels_NCHW), classes)
    return ArrayDataset(name, test=(pixels_NCHW, labels_N), train=None, classes=classes, q=steps, architecture="mlp")


def _find_checkpoint(name: str, store: Store | None) -> tuple[Checkpoint, str]:
    """Return a checkpoint that rsbench wrote, and the path of its file.

    name: the path of the file, or the first digits of the SHA-256 of a checkpoint in the store.
    Raises CheckpointError when there is none, or it cannot be read.
    """
    file = Path(name)
    if file.is_file():
        content = read_checkpoint_file(file)
        if "rsbench" not in safetensors_header(content):
            raise CheckpointError(
                f"{name} was not written by rsbench: build the network, load its state dict, and give the module"
            )
        return Checkpoint.parse(content, name), str(file.resolve())
    records = store.checkpoints(sha256_prefix=name) if store is not None and len(name) >= 4 else []
    if len(records) != 1:
        raise CheckpointError(f"network {name}: there is no such file, and {len(records)} stored checkpoints begin so")
    return load_registered(records[0], home()), records[0].path


def _pixels_of(images: npt.ArrayLike, q: int | None) -> tuple[Pixels, int | None]:
    """Return the images as a dataset holds them, and the q of their grid k/q; None where they lie on no grid.

    Whole numbers are k of k/q, with q = 255 unless it is given. Floats lie on no grid unless q is given.
    Raises UsageError when the array is not N×C×H×W, or floats do not lie on the grid; DataError when a pixel is
    outside [0,1].
    """
    try:
        array = np.asarray(images)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"images must be an array: {error}") from error
    if array.ndim != 4 or array.size == 0:
        raise UsageError(f"images must be N×C×H×W, and no length may be 0, got the shape {array.shape}")
    if array.dtype.kind not in "uif":
        raise UsageError(f"images must be whole numbers k of k/q, or floats in [0,1], got {array.dtype}")
    if q is not None and not 1 <= q <= 255:
        raise UsageError(f"q must lie in 1..255, got {q}: leave it out for finer pixels, given as floats")
    if array.dtype.kind == "f" and q is None:
        check_pixels(array, None, "image", range(len(array)))
        return array.astype(np.float32), None
    steps = q or 255
    if array.dtype.kind == "f":
        check_pixels(array, None, "image", range(len(array)))
        scaled = array.astype(np.float64) * steps
        array = np.rint(scaled)
        # A float32 pixel is off by up to 2⁻²⁴ of itself.
        if (off := np.abs(scaled - array).max()) > 1e-4:
            raise UsageError(f"images must lie on the grid k/{steps}, and a pixel lies {off / steps:.2g} off it")
    check_pixels(array, steps, "image", range(len(array)))
    return array.astype(np.uint8), steps


def _labels_of(labels: npt.ArrayLike, images: int, classes: int) -> IntArray:
    """Return the labels as a dataset holds them. Raises UsageError unless there is one in 0..K − 1 for each image."""
    array = np.asarray(labels)
    if array.shape != (images,) or array.dtype.kind not in "ui":
        raise UsageError(
            f"labels must be {images} whole numbers, one per image, got {array.dtype} of the shape {array.shape}"
        )
    wrong_N = (array < 0) | (array >= classes)
    if wrong_N.any():
        first = int(np.argmax(wrong_N))
        raise UsageError(
            f"image {first} has the label {array[first]}, and the network knows classes 0 to {classes - 1}"
        )
    labels_N: IntArray = array.astype(np.int64)
    return labels_N
