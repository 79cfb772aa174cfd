"""What whoever imports must say, and what contradicts."""

from typing import Any

import pytest

from rsbench.errors import UsageError
from rsbench.foreign.claims import Claims, certificate_and_family
from rsbench.foreign.known_datasets import imported_dataset
from tests.foreign.writing import claims


@pytest.mark.parametrize(
    ("method", "certificate", "family", "found"),
    [
        ("cohen", None, None, ("cohen", "gaussian")),
        ("dssn", None, None, ("dssn", "deterministic-splitting")),
        ("uniform", "box", None, ("box", "uniform")),
        ("smoothadv", "cohen", None, ("cohen", "gaussian")),
        ("mine", "lee", "splitting", ("lee", "splitting")),
    ],
)
def test_certificate_and_measure(
    method: str, certificate: str | None, family: str | None, found: tuple[str, str]
) -> None:
    theorem, measure = certificate_and_family(method, certificate, family)
    assert (theorem.name, measure) == found


@pytest.mark.parametrize(
    ("method", "certificate", "family", "told"),
    [
        ("smoothadv", None, None, "--method smoothadv is none of cohen, .*dssn: say with --certificate"),
        ("cohen", "none", None, "--certificate none: choose from cohen"),
        ("mine", "lee", None, "certificate lee holds for .* say with --measure"),
        ("cohen", None, "uniform", "--measure uniform: cohen smooths with gaussian noise"),
        ("dssn", "box", None, "certificate box does not hold for deterministic-splitting"),
        ("mine", "cohen", "uniform", "certificate cohen does not hold for uniform"),
    ],
)
def test_what_does_not_go_together(method: str, certificate: str | None, family: str | None, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        certificate_and_family(method, certificate, family)


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ({"sigma": 0.0}, "--sigma 0: a standard deviation"),
        ({"sigma": float("nan")}, "--sigma nan: a standard deviation"),
        ({"n_select": 0}, "--n0 0: give a number of votes"),
        ({"n_estimate": 2**31}, "--n 2147483648: give a number of votes"),
        ({"failure_probability": 1.0}, "--alpha 1: give a number between 0 and 1"),
        ({"method": "dssn", "n_estimate": 100}, "certificate dssn draws no votes"),
    ],
)
def test_what_is_out_of_range(told: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        claims(**told)


def test_an_enumerated_measure_needs_a_grid() -> None:
    found = certificate_and_family("dssn", None, None)
    with pytest.raises(UsageError, match="needs pixels on a grid k/q: say it with --q"):
        Claims(imported_dataset("mine", classes=10, shape=(1, 8, 8)), "dssn", *found)


def test_a_known_data_set() -> None:
    info = imported_dataset("imagenet", classes=1000, q=255).info(49_900)
    assert (info.images, info.classes, info.shape, info.q) == (50_000, 1000, (3, 224, 224), 255)
    assert info.fingerprint != imported_dataset("cifar10").info(0).fingerprint


def test_another_data_set_is_described() -> None:
    info = imported_dataset("mine", classes=7, q=16, shape=(1, 8, 8)).info(99)
    assert (info.name, info.images, info.classes, info.shape, info.q) == ("mine", 100, 7, (1, 8, 8), 16)


@pytest.mark.parametrize(
    ("name", "described", "told"),
    [
        ("cifar10", {"classes": 100}, "--classes 100: cifar10 has 10"),
        ("cifar10", {"q": 256}, "--q 256: cifar10 has 255"),
        ("cifar10", {"shape": (3, 64, 64)}, "--shape 3,64,64: cifar10 has 3,32,32"),
        ("cifar", {}, "--dataset cifar is none of cifar10, .*--classes is missing"),
        ("cifar", {"classes": 10}, "--shape is missing"),
        ("mine", {"classes": 1, "shape": (1, 8, 8)}, "--classes 1: a classifier needs at least 2"),
        ("mine", {"classes": 2, "shape": (1, 0, 8)}, "--shape 1,0,8: every side must be at least 1"),
        ("mine", {"classes": 2, "shape": (1, 8, 8), "q": 0}, "--q 0: pixels are k/q with q in 1..65535"),
    ],
)
def test_a_description_that_is_missing_or_wrong(name: str, described: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        imported_dataset(name, **described)
