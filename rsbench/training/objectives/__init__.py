"""Training objectives and their registry. A plugin adds its own with `OBJECTIVES.register(name, MyObjective)`."""

import inspect
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from rsbench.errors import UsageError
from rsbench.plugins import Registry
from rsbench.training.objectives.base import Objective, ObjectiveOptions, StepLoss
from rsbench.training.objectives.noise_augmentation import NoiseAugmentation

__all__ = [
    "OBJECTIVES",
    "Objective",
    "ObjectiveOptions",
    "StepLoss",
    "build_objective",
    "canonical_options",
]

OptionValue = bool | int | float | str


def _check_objective(_name: str, objective: type[Objective[Any]]) -> None:
    """Refuse a class that has no loss, or options that a specification cannot store."""
    if not issubclass(objective, Objective) or inspect.isabstract(objective):
        raise ValueError(f"{objective.__name__} is not a subclass of Objective that implements loss")
    for option, field in objective.options_type.model_fields.items():
        if not field.is_required() and not isinstance(field.default, OptionValue):
            raise ValueError(f"the default of its option {option!r} is not a bool, int, float or str")


OBJECTIVES: Final[Registry[type[Objective[Any]]]] = Registry(
    "training objective", type, {"noise-augmentation": NoiseAugmentation}, check=_check_objective
)
"""The classes of objectives, by the names that specifications use."""


def canonical_options(name: str, options: Mapping[str, OptionValue]) -> dict[str, OptionValue]:
    """Return the options of an objective as a specification stores them: validated, without those at their defaults.

    Raises UsageError if the objective or an option is unknown, or if a value is not valid.
    """
    return _validated(name, options).model_dump(exclude_defaults=True)


def build_objective(name: str, options: Mapping[str, OptionValue]) -> Objective[Any]:
    """Return a new instance of an objective. Raises UsageError, see `canonical_options`."""
    return OBJECTIVES.lookup(name)(_validated(name, options))


def _validated(name: str, options: Mapping[str, OptionValue]) -> ObjectiveOptions:
    options_type = OBJECTIVES.lookup(name).options_type
    for option in options:
        if option not in options_type.model_fields:
            choices = ", ".join(options_type.model_fields)
            remedy = f"choose from {choices}" if choices else "it has no options"
            raise UsageError(f"option {option!r} is unknown to the training objective {name!r}: {remedy}")
    try:
        return options_type.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        option = f"option {first['loc'][0]!r}" if first["loc"] else "a combination of options"
        raise UsageError(f"{option} of the training objective {name!r} is not valid: {first['msg']}") from error
