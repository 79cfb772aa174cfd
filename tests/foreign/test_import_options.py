"""The options of an import: defaults, required values and contradictions."""

from typing import Any

import pytest

from rsbench.errors import UsageError
from rsbench.foreign.import_options import ImportOptions, describe_dataset, resolve_certificate
from tests.foreign.sample_files import import_options


@pytest.mark.parametrize(
    ("method", "certificate", "family", "expected"),
    [
        ("cohen", None, None, ("cohen", "gaussian")),
        ("dssn", None, None, ("dssn", "deterministic-splitting")),
        ("uniform", "box", None, ("box", "uniform")),
        ("smoothadv", "cohen", None, ("cohen", "gaussian")),
        ("mine", "lee", "splitting", ("lee", "splitting")),
    ],
)
def test_certificate_and_measure_are_resolved(
    method: str, certificate: str | None, family: str | None, expected: tuple[str, str]
) -> None:
    theorem, measure = resolve_certificate(method, certificate, family)
    assert (theorem.name, measure) == expected


@pytest.mark.parametrize(
    ("method", "certificate", "family", "message"),
    [
        (
            "smoothadv",
            None,
            None,
            "--method smoothadv is none of cohen, .*dssn: name the theorem behind its radii with --certificate",
        ),
        ("cohen", "none", None, "--certificate none: choose from cohen"),
        ("mine", "lee", None, "certificate lee holds for .* name the one that was used with --measure"),
        ("cohen", None, "uniform", "--measure uniform: cohen smooths with gaussian noise"),
        ("dssn", "box", None, "certificate box does not hold for deterministic-splitting"),
        ("mine", "cohen", "uniform", "certificate cohen does not hold for uniform"),
    ],
)
def test_missing_or_contradictory_certificate_and_measure_are_refused(
    method: str, certificate: str | None, family: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_certificate(method, certificate, family)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "--sigma 0: a standard deviation"),
        ({"sigma": float("nan")}, "--sigma nan: a standard deviation"),
        ({"n_select": 0}, "--n0 0: give a number of votes"),
        ({"n_estimate": 2**31}, "--n 2147483648: give a number of votes"),
        ({"failure_probability": 1.0}, "--alpha 1: give a number between 0 and 1"),
        ({"method": "dssn", "n_estimate": 100}, "certificate dssn draws no votes"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_options(**changes)


def test_an_enumerated_measure_needs_a_grid() -> None:
    theorem, family = resolve_certificate("dssn", None, None)
    with pytest.raises(UsageError, match="needs pixels on a grid k/q: give q with --q"):
        ImportOptions(describe_dataset("mine", classes=10, shape=(1, 8, 8)), "dssn", theorem, family)


def test_a_known_dataset() -> None:
    info = describe_dataset("imagenet", classes=1000, q=255).info(49_900)
    assert (info.images, info.classes, info.shape, info.q) == (50_000, 1000, (3, 224, 224), 255)
    assert info.fingerprint != describe_dataset("cifar10").info(0).fingerprint


def test_an_unknown_dataset_is_described() -> None:
    info = describe_dataset("mine", classes=7, q=16, shape=(1, 8, 8)).info(99)
    assert (info.name, info.images, info.classes, info.shape, info.q) == ("mine", 100, 7, (1, 8, 8), 16)


@pytest.mark.parametrize(
    ("name", "description", "message"),
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
def test_incomplete_or_wrong_descriptions_are_refused(name: str, description: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        describe_dataset(name, **description)
