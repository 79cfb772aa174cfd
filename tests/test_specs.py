"""Specifications keep their fingerprints for ever, and refuse what contradicts itself."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from rsbench import specs
from rsbench.specs import (
    CertificationSpec,
    CheckpointHeader,
    ImportSpec,
    Spec,
    TrainingSpec,
    added_later,
    run_spec_from_json,
)

GOLDEN: list[dict[str, str]] = json.loads((Path(__file__).parent / "golden_specs.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: f"{golden['kind']}-{golden['fingerprint'][:6]}")
def test_the_fingerprints_of_released_specifications_never_change(golden: dict[str, str]) -> None:
    kind: type[Spec] = getattr(specs, golden["kind"])
    spec = kind.from_json(golden["json"])
    assert spec.canonical_json() == golden["json"]
    assert spec.fingerprint() == golden["fingerprint"]
    assert kind.from_json(spec.canonical_json()) == spec


def test_every_kind_of_specification_has_golden_fingerprints() -> None:
    kinds = {value.__name__ for value in vars(specs).values() if isinstance(value, type) and issubclass(value, Spec)}
    assert {golden["kind"] for golden in GOLDEN} == kinds - {"Spec"}


def golden(kind: str) -> dict[str, Any]:
    """The fields of the first golden specification of a kind."""
    fields: dict[str, Any] = next(json.loads(one["json"]) for one in GOLDEN if one["kind"] == kind)
    return fields


class _Inner(Spec):
    old: int
    new: int = added_later(0)


class _Outer(Spec):
    inner: _Inner
    options: dict[str, int] = added_later({})


def test_a_field_that_was_added_later_counts_only_where_it_is_not_at_its_default() -> None:
    assert _Inner(old=1).canonical_json() == '{"old":1}'
    assert _Inner(old=1, new=2).canonical_json() == '{"new":2,"old":1}'
    assert _Outer(inner=_Inner(old=1)).canonical_json() == '{"inner":{"old":1}}'
    changed = _Outer(inner=_Inner(old=1, new=2), options={"k": 1})
    assert changed.canonical_json() == '{"inner":{"new":2,"old":1},"options":{"k":1}}'
    assert _Outer.from_json(changed.canonical_json()) == changed
    assert _Outer.from_json('{"inner":{"old":1}}') == _Outer(inner=_Inner(old=1))


def test_the_name_of_a_method_is_no_part_of_what_is_trained() -> None:
    trial = TrainingSpec.from_json(json.dumps(golden("TrainingSpec")))
    assert "method" not in TrainingSpec.model_fields
    # Earlier releases wrote the name, which follows from measure and objective.
    assert json.loads(trial.canonical_json())["method"] == "cohen"
    other = trial.model_copy(update={"objective": "stability"})
    assert "method" not in json.loads(other.canonical_json())
    with pytest.raises(ValidationError, match="method is 'ssn', but measure and objective imply 'cohen'"):
        TrainingSpec.from_json(json.dumps(golden("TrainingSpec") | {"method": "ssn"}))


def test_options_of_an_objective_are_part_of_what_is_trained() -> None:
    trial = TrainingSpec.from_json(json.dumps(golden("TrainingSpec")))
    changed = trial.model_copy(update={"objective_options": {"noise_draws": 2}})
    assert changed.fingerprint() != trial.fingerprint()
    assert TrainingSpec.from_json(changed.canonical_json()) == changed


def test_a_stored_run_comes_back_as_the_kind_of_specification_that_it_is() -> None:
    for one in GOLDEN:
        if one["kind"] in ("CertificationSpec", "ImportSpec"):
            assert type(run_spec_from_json(one["json"])).__name__ == one["kind"]
    tricky = golden("CertificationSpec") | {"dataset": '"source":.npz'}
    assert isinstance(run_spec_from_json(json.dumps(tricky)), CertificationSpec)


def test_the_declared_procedure_is_part_of_the_protocol() -> None:
    spec = CertificationSpec.from_json(json.dumps(golden("CertificationSpec")))
    other = spec.model_copy(update={"procedure": "top-two"})
    assert spec.procedure == "one-versus-rest"
    assert other.fingerprint() != spec.fingerprint()
    assert CertificationSpec.from_json(other.canonical_json()) == other


def test_a_measure_of_a_plugin_that_is_not_loaded_can_be_read() -> None:
    fields = golden("CertificationSpec")
    fields["measure"] = fields["measure"] | {"family": "laplace"}
    assert CertificationSpec.from_json(json.dumps(fields)).family == "laplace"


@pytest.mark.parametrize(
    ("kind", "changes", "complaint"),
    [
        (CertificationSpec, {"budget": None}, "a sampled measure needs a budget"),
        (CertificationSpec, {"noise": "enumerated"}, "noise is drawn for a sampled measure"),
        (CertificationSpec, {"noise": "philox4x32-grid"}, "gaussian noise cannot be drawn as integers"),
        (CertificationSpec, {"surprise": 1}, "Extra inputs are not permitted"),
        (CheckpointHeader, {"format": 2}, "Input should be 1"),
        (ImportSpec, {"sigma": 0.0}, "greater than 0"),
    ],
)
def test_what_contradicts_itself_is_refused(kind: type[Spec], changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        kind.from_json(json.dumps(golden(kind.__name__) | changes))
