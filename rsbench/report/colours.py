"""Colours of methods, the same in every chart: a hue for each family of noise, and shades of it for its methods."""

from collections.abc import Mapping

from rsbench.methods import METHODS

# Okabe and Ito's colours, which people with any common colour blindness can distinguish.
_FAMILY_COLOURS: Mapping[str, str] = {
    "gaussian": "#0072B2",
    "uniform": "#E69F00",
    "splitting": "#009E73",
    "deterministic-splitting": "#CC3F7F",
}
# The same hues on a dark page, as far from its ground as the others are from white.
_FAMILY_COLOURS_ON_DARK: Mapping[str, str] = {
    "gaussian": "#56b4e9",
    "uniform": "#f0b429",
    "splitting": "#2fc495",
    "deterministic-splitting": "#e879b0",
}
# Methods that are not registered, and families that plugins add.
_OTHER, _OTHER_ON_DARK = "#555555", "#b0b4b8"

_BLACK, _WHITE = 0, 255
# How far further methods of a family are from its colour: darker on a white page, lighter on a dark one.
_STRENGTHS = (0.0, 0.5, 0.7)
# Variants of a method are lighter and darker in turn: towards what, and how far.
_VARIANT_SHADES = ((_WHITE, 0.45), (_BLACK, 0.3), (_WHITE, 0.7), (_BLACK, 0.6), (_WHITE, 0.85))


def method_colour(method: str, variant: int = 0) -> str:
    """Return the colour of a method. Further variants of it, such as other budgets, have other shades of its hue."""
    family, place = _family_and_place(method)
    colour = _shade(_FAMILY_COLOURS.get(family, _OTHER), place, _BLACK)
    return colour if variant == 0 else _mixed(colour, *_VARIANT_SHADES[min(variant, len(_VARIANT_SHADES)) - 1])


def colours_on_dark() -> dict[str, str]:
    """Return what a dark page draws instead of each registered method's colour, and of that of all others."""
    on_dark = {_OTHER: _OTHER_ON_DARK}
    for method in METHODS:
        family, place = _family_and_place(method)
        colour = _FAMILY_COLOURS_ON_DARK.get(family, _OTHER_ON_DARK)
        on_dark[method_colour(method)] = _shade(colour, place, _WHITE)
    return on_dark


def _family_and_place(method: str) -> tuple[str, int]:
    """Return the family of a method, empty if it is not registered, and its place among the methods of the family."""
    if method not in METHODS:
        return "", 0
    family = METHODS[method].family
    return family, [name for name, other in METHODS.items() if other.family == family].index(method)


def _shade(colour: str, place: int, target: int) -> str:
    """Return the colour of the method at a place of its family."""
    return _mixed(colour, target, _STRENGTHS[min(place, len(_STRENGTHS) - 1)]) if place else colour


def _mixed(colour: str, target: int, strength: float) -> str:
    """Return a colour `#RRGGBB` moved towards black or white."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + strength * (target - part)):02X}" for part in parts)
