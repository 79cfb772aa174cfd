"""Methods are names for points on the axes measure, objective, certificate and bounds."""

from dataclasses import replace

import pytest

from rsbench.errors import UsageError
from rsbench.families import FAMILIES, Family
from rsbench.methods import METHODS, Method, measure_for, method_certifying, method_named, title_of, training_name
from rsbench.specs import MeasureSpec, TrainingSpec
from rsbench.theory.catalogue import CERTIFICATES


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda method: method.name)
def test_every_method_declares_a_certificate_that_holds_for_its_noise(method: Method) -> None:
    assert method.family in CERTIFICATES[method.certificate].threat_models
    assert method.training in METHODS


def test_methods_that_differ_in_their_certificate_share_their_checkpoints() -> None:
    assert {name: method.training for name, method in METHODS.items()} == {
        "cohen": "cohen",
        "uniform": "uniform",
        "uniform++": "uniform",
        "ssn": "ssn",
        "split++": "ssn",
        "dssn": "dssn",
    }


@pytest.mark.parametrize(
    ("training", "certificate", "procedure", "name"),
    [
        ("uniform", "lee", "one-versus-rest", "uniform"),
        ("uniform", "box", "top-two", "uniform++"),
        ("ssn", "box", "top-two", "split++"),
        ("uniform", "box", "one-versus-rest", "uniform"),
        ("cohen", "cohen", "top-two", "cohen"),
    ],
)
def test_a_certificate_and_bounds_that_a_method_is_named_for_give_that_method(
    training: str, certificate: str, procedure: str, name: str
) -> None:
    assert method_certifying(METHODS[training], certificate, procedure).name == name


def trial(objective: str = "noise-augmentation") -> TrainingSpec:
    return TrainingSpec(
        objective=objective, dataset="digits", dataset_fingerprint="d1" * 32, architecture="mlp",
        measure=MeasureSpec(family="uniform", sigma=0.5), seed=0, device="cpu", epochs=1,
    )  # fmt: skip


def test_a_training_is_named_by_its_measure_and_objective() -> None:
    assert training_name(trial()) == "uniform"
    with pytest.raises(UsageError, match="no method trains uniform noise by hope"):
        training_name(trial("hope"))


def test_a_method_of_another_package_is_one_registration() -> None:
    hopeful = Method("hopeful", "Hopeful", "uniform", "hope", "lee", "Nobody 2026")
    with METHODS.registered("hopeful", hopeful):
        assert method_named("hopeful").training == "hopeful"
        assert title_of("hopeful") == "Hopeful"
        assert training_name(trial("hope")) == "hopeful"
        assert measure_for(hopeful, 0.5, q=None, offsets_seed=0) == MeasureSpec(family="uniform", sigma=0.5)
    with pytest.raises(UsageError, match="unknown method 'hopeful'"):
        method_named("hopeful")


def test_a_method_of_an_unknown_measure_is_refused() -> None:
    with pytest.raises(UsageError, match="'laplace' is not registered"):
        METHODS.register("lap", replace(METHODS["cohen"], name="lap", family="laplace"))


def test_a_measure_of_another_package_is_one_registration() -> None:
    laplace = Family("laplace", "Laplace noise, independent across coordinates", "tests.test_methods:nothing")
    with FAMILIES.registered("laplace", laplace):
        method = Method("lap", "Laplace", "laplace", "noise-augmentation", "cohen", "Nobody 2026")
        with METHODS.registered("lap", method):
            assert measure_for(method, 0.5, q=None, offsets_seed=0).family == "laplace"
            assert not method.is_enumerated
