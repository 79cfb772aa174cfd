"""Architectures by name: the registry, torchvision's classifiers, and factories in other people's modules.

Every architecture takes images in [0,1] plus noise, B×C×H×W, and returns logits, B×K. This module does not import
torch until a network is built, so that a wrong name is refused quickly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rsbench.errors import CheckpointError, RsbenchError, UsageError, first_line
from rsbench.plugins import Registry, import_object

if TYPE_CHECKING:
    from torch import nn

Shape = tuple[int, int, int]
Factory = Callable[[int, Shape], "nn.Module"]


@dataclass(frozen=True)
class Architecture:
    """A network, and how it is certified unless the user says otherwise.

    The batch size and the memory format are part of a run's identity, so they are fixed here and never found by trial.
    The defaults are those of a network that rsbench knows nothing about; they fit a ResNet on images of 32×32 pixels
    into 8 GB.
    """

    build: Factory
    """Makes an untrained network from the number of classes and the shape C×H×W of an image."""
    cpu_batch: int = 64
    """Rows of a batch on a CPU."""
    cuda_batch: int = 256
    """Rows of a batch on a GPU."""
    channels_last: bool = False
    """Whether the channels of a pixel lie together in memory. That is faster for most convolutional networks, but
    fails for those that call `Tensor.view` on their activations."""
    usual_classes: int = 10
    """Number of classes of the dataset that it is mostly used on. `rsbench bench` without a dataset uses it."""
    usual_shape: Shape = (3, 32, 32)
    """Shape C×H×W of the images of that dataset."""

    def batch_size(self, device: str) -> int:
        """Rows of a batch on `cpu` or `cuda`."""
        return self.cuda_batch if device == "cuda" else self.cpu_batch


def _mlp(classes: int, shape_CHW: Shape) -> "nn.Module":
    from rsbench.models.networks import mlp

    return mlp(classes, shape_CHW)


def _cnn(classes: int, shape_CHW: Shape) -> "nn.Module":
    if min(shape_CHW[1:]) < 4:
        size = "×".join(map(str, shape_CHW[1:]))
        raise UsageError(f"cnn needs images of at least 4×4 pixels, and these have {size}: use mlp")
    from rsbench.models.networks import cnn

    return cnn(classes, shape_CHW)


def _wrn40_2(classes: int, shape_CHW: Shape) -> "nn.Module":
    from rsbench.models.wide_resnet import WideResNet

    return WideResNet(40, 2, classes, shape_CHW[0])


def _resnet50(classes: int, shape_CHW: Shape) -> "nn.Module":
    return _torchvision_factory("resnet50", "resnet50")(classes, shape_CHW)


# The batch sizes are fast on a CPU (`rsbench bench --settings`) and fit into the 8 GB of a small GPU.
_BUILTIN = {
    "mlp": Architecture(_mlp, 1024, 16_384, channels_last=False, usual_classes=10, usual_shape=(1, 8, 8)),
    "cnn": Architecture(_cnn, 128, 4096, channels_last=True, usual_classes=10, usual_shape=(1, 28, 28)),
    "wrn40-2": Architecture(_wrn40_2, 64, 1024, channels_last=True, usual_classes=10, usual_shape=(3, 32, 32)),
    "resnet50": Architecture(_resnet50, 32, 128, channels_last=True, usual_classes=1000, usual_shape=(3, 224, 224)),
}
ARCHITECTURES: Final[Registry[Architecture]] = Registry("architecture", Architecture, _BUILTIN)

_TORCHVISION = "torchvision:"


def architecture_named(name: str) -> Architecture:
    """The registered architecture of that name, or the one that `torchvision:NAME` or `package.module:factory` means.

    Raises UsageError when there is none. The name in `torchvision:NAME` is checked when the network is built.
    """
    if name in ARCHITECTURES:
        return ARCHITECTURES[name]
    if not is_buildable(name):
        return Architecture(_module_factory(name))
    if name.startswith(_TORCHVISION):
        factory = _torchvision_factory(name, name.removeprefix(_TORCHVISION))
        return Architecture(factory, cpu_batch=32, cuda_batch=128, usual_classes=1000, usual_shape=(3, 224, 224))
    if ":" in name:
        factory = import_object(name, "architecture")
        if not callable(factory):
            raise UsageError(
                f"architecture {name!r} is of type {type(factory).__name__}: name a function that takes the number of "
                "classes and the shape C×H×W of an image, and returns a torch.nn.Module"
            )
        return Architecture(factory)
    raise UsageError(
        f"unknown architecture {name!r}: choose from {', '.join(ARCHITECTURES)}, torchvision:NAME or "
        "package.module:factory, or load the plugin that registers it with --plugin"
    )


def module_architecture(kind: "type[nn.Module]") -> str:
    """The architecture of a module that a Python program passed in, which rsbench cannot build: its class."""
    return f"<{kind.__module__}.{kind.__qualname__}>"


def is_buildable(name: str) -> bool:
    """Whether rsbench can build the architecture of a stored checkpoint."""
    return not name.startswith("<")


def build_backbone(name: str, classes: int, shape_CHW: Shape) -> "nn.Module":
    """An untrained network.

    Raises UsageError when the architecture is unknown, or does not build a network for these classes and images.
    """
    from torch import nn

    images = f"{classes} classes and images of {_shape_text(shape_CHW)}"
    try:
        network = architecture_named(name).build(classes, shape_CHW)
    except RsbenchError:
        raise
    # Factories of other people may raise anything.
    except Exception as error:
        raise UsageError(
            f"architecture {name!r} cannot be built for {images} ({type(error).__name__}: {first_line(error)}): "
            "correct its factory, or choose another architecture"
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"architecture {name!r} returned an object of type {type(network).__name__} for {images}: its factory must "
            "return a torch.nn.Module"
        )
    return network


def check_architecture(name: str, classes: int, shape_CHW: Shape) -> None:
    """Build the network and, unless it is rsbench's own, run it in training and in evaluation mode.

    Raises UsageError when it cannot be built, does not run on such images, or returns anything else than a row of
    logits for each image.
    """
    import torch

    if name in _BUILTIN:
        # Neither memory for weights nor random numbers are needed.
        with torch.device("meta"):
            build_backbone(name, classes, shape_CHW)
        return
    network = build_backbone(name, classes, shape_CHW)
    check_outputs(network.train(), name, classes, shape_CHW)
    check_outputs(network.eval(), name, classes, shape_CHW)


def check_outputs(network: "nn.Module", name: str, classes: int, shape_CHW: Shape) -> None:
    """Raise UsageError unless the network maps two grey images to a 2×K tensor. `name`: of its architecture."""
    import torch

    mode = "training" if network.training else "evaluation"
    try:
        with torch.no_grad():
            logits_BK = network(torch.full((2, *shape_CHW), 0.5))
    except Exception as error:
        raise UsageError(
            f"architecture {name!r} fails in {mode} mode on images of {_shape_text(shape_CHW)} "
            f"({type(error).__name__}: {first_line(error)}): correct it, or choose another architecture"
        ) from error
    returned = f"an object of type {type(logits_BK).__name__}"
    if isinstance(logits_BK, torch.Tensor):
        if logits_BK.shape == (2, classes):
            return
        returned = f"a tensor of the shape {_shape_text(tuple(logits_BK.shape))}"
    raise UsageError(
        f"architecture {name!r} returns {returned} for 2 images in {mode} mode: it must return logits of the shape "
        f"2×{classes}, a row for each image"
    )


def _module_factory(name: str) -> Factory:
    def build(classes: int, shape_CHW: Shape) -> "nn.Module":
        raise CheckpointError(
            f"the network is a Python object of the class {name.strip('<>')}, which rsbench cannot build again: "
            "certify it with rsbench.certify(..., architecture='package.module:factory')"
        )

    return build


def _torchvision_factory(name: str, model: str) -> Factory:
    def build(classes: int, shape_CHW: Shape) -> "nn.Module":
        if shape_CHW[0] != 3:
            raise UsageError(f"{name} takes images of 3 channels, and these have {shape_CHW[0]}: use another network")
        # Importing torchvision takes a second.
        from torchvision import models

        # Those outside this module do not classify images, and load pretrained parts.
        if model not in models.list_models(module=models):
            raise UsageError(
                f"architecture {name!r} is not an image classifier of torchvision: python -c 'from torchvision import "
                "models; print(models.list_models(module=models))' prints those that are"
            )
        network: nn.Module = models.get_model(model, weights=None, num_classes=classes)
        return network

    return build


def _shape_text(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
