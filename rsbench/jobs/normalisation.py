"""The channel normalisation of external checkpoints: the forms of --normalisation, and which of them fits a network."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import bdtrc

from rsbench.data.dataset import IMAGENET_NORMALISATION, ImageDataset, Normalisation, unit_images
from rsbench.errors import UsageError
from rsbench.records import BoolArray
from rsbench.theory.comparison import exact_mcnemar

if TYPE_CHECKING:
    from torch import nn

IMAGES = 100
_IMAGES_AT_ONCE = 25
# At most this probability that a classifier guesses, or that the second best normalisation fits as well as the best.
_SIGNIFICANCE = 0.05

_CIFAR10_NORMALISATION: Normalisation = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
NORMALISATION_FORMS = (
    "dataset, imagenet, cifar10, center, none, or MEAN/STD by channel such as 0.4914,0.4822,0.4465/0.2023,0.1994,0.2010"
)
# The network computes in float32.
_LARGEST = 1e6
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


def named_normalisations(dataset: ImageDataset) -> dict[str, Normalisation]:
    """The normalisations that have a name and that the images of a dataset can have, by name."""
    channels = dataset.info.shape[0]
    normalisations: dict[str, Normalisation] = {}
    if (published := dataset.published_normalisation) is not None:
        normalisations["dataset"] = published
        normalisations["center"] = (published[0], (1.0,) * channels)
    if channels == 3:
        normalisations["imagenet"] = IMAGENET_NORMALISATION
        normalisations["cifar10"] = _CIFAR10_NORMALISATION
    return normalisations | {"none": ((0.0,) * channels, (1.0,) * channels)}


def parse_normalisation(text: str, dataset: ImageDataset) -> Normalisation:
    """The normalisation that `--normalisation text` means for a dataset.

    Raises UsageError when the text has none of the forms, or the dataset does not have what it refers to.
    """
    name, channels = dataset.info.name, dataset.info.shape[0]
    normalisations = named_normalisations(dataset)
    if text in normalisations:
        return normalisations[text]
    if text in ("dataset", "center"):
        raise UsageError(
            f"--normalisation {text}: {name} declares no mean and std: add the arrays mean and std to an .npz file, or "
            "give them as MEAN/STD"
        )
    if text in ("imagenet", "cifar10"):
        raise UsageError(
            f"--normalisation {text} is for images of 3 channels, and those of {name} have {channels}: choose "
            f"{', '.join(normalisations)} or MEAN/STD"
        )
    parts = [part.split(",") for part in text.split("/")]
    if len(parts) != 2 or not all(_NUMBER.fullmatch(word.strip()) for part in parts for word in part):
        raise UsageError(f"--normalisation {text} has no known form: give {NORMALISATION_FORMS}")
    mean, std = (tuple(float(word) for word in part) for part in parts)
    if len(mean) != channels or len(std) != channels:
        raise UsageError(
            f"--normalisation {text} has {len(mean)} means and {len(std)} standard deviations, and images of {name} "
            f"have {channels} channels: give one of each per channel"
        )
    if max(map(abs, mean + std)) > _LARGEST or min(std) < 1.0 / _LARGEST:
        raise UsageError(
            f"--normalisation {text} is out of range: means must lie between -{_LARGEST:g} and {_LARGEST:g}, standard "
            f"deviations between {1.0 / _LARGEST:g} and {_LARGEST:g}"
        )
    return mean, std


def normalisation_advice(network: "nn.Module", dataset: ImageDataset) -> str:
    """How many of 100 images a network classifies correctly under each named normalisation, and which fits best.

    The images are spread over the dataset and have no noise. This is advice for a person: a network that was trained on
    much noise may be at chance on them under every normalisation.
    """
    correct_by_name = _correct_by_name(network, dataset)
    count = len(next(iter(correct_by_name.values())))
    counts = ", ".join(f"{name} {correct_N.sum()}" for name, correct_N in correct_by_name.items())
    best = _clearly_best(correct_by_name, dataset.info.classes)
    verdict = "none of these fits clearly best" if best is None else f"{best.partition(' ')[0]} fits best"
    return (
        f"of {count} images without noise it classifies correctly: {counts}; {verdict}, but only the code that trained "
        "the network can tell"
    )


def _correct_by_name(network: "nn.Module", dataset: ImageDataset) -> dict[str, BoolArray]:
    """Where the network is right on the images, by the names of each normalisation, such as `dataset or imagenet`."""
    import torch

    from rsbench.models.networks import Normalized

    names: dict[Normalisation, list[str]] = {}
    for name, normalisation in named_normalisations(dataset).items():
        names.setdefault(normalisation, []).append(name)
    index_N = np.unique(np.linspace(0, dataset.info.images - 1, IMAGES).round().astype(int))
    correct: dict[str, list[BoolArray]] = {" or ".join(group): [] for group in names.values()}
    for start in range(0, len(index_N), _IMAGES_AT_ONCE):
        part_N = index_N[start : start + _IMAGES_AT_ONCE]
        x_NCHW = unit_images(dataset.pixels(part_N.tolist()), dataset.info.q)
        for name, (mean, std) in zip(correct, names, strict=True):
            with torch.inference_mode():
                logits_NK = Normalized(network, mean, std).eval()(x_NCHW)
            predicted_N = logits_NK.argmax(dim=1).numpy()
            correct[name].append(np.asarray(predicted_N == dataset.labels_N[part_N]))
    return {name: np.concatenate(parts) for name, parts in correct.items()}


def _clearly_best(correct_by_name: Mapping[str, BoolArray], classes: int) -> str | None:
    """The name of the best normalisation, if it is significantly better than guessing and than all others."""
    best, *others = sorted(correct_by_name, key=lambda name: -correct_by_name[name].sum())
    right, count = int(correct_by_name[best].sum()), len(correct_by_name[best])
    if right == 0 or bdtrc(right - 1, count, 1.0 / classes) > _SIGNIFICANCE:
        return None
    p_values = [exact_mcnemar(correct_by_name[best], correct_by_name[other]).p_value for other in others]
    return best if all(p_value <= _SIGNIFICANCE for p_value in p_values) else None
