"""What a run declares before its first vote: method, certificate, bounds, and the σ that it certifies with."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.errors import UsageError
from rsbench.jobs.certify import run_certification
from rsbench.jobs.options import CertifyOptions, SweepOptions
from rsbench.jobs.planning import PlannedRun, plan_run
from rsbench.jobs.sweep import plan_sweep, run_sweep
from rsbench.models.checkpoint import Checkpoint
from rsbench.report.configuration import configurations
from rsbench.report.run_facts import threat_model_of
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.votes_format import decode_votes
from tests.fixtures.results import certification_of
from tests.fixtures.trained import Listener, store_with

OPTIONS = CertifyOptions(images="first:30", n_estimate=250, n_select=20)


@pytest.fixture
def store(tmp_path: Path, digits: ImageDataset, trained: dict[str, Checkpoint]) -> Iterator[Store]:
    with store_with(tmp_path, digits, *trained.values()) as opened:
        yield opened


def certified(store: Store, digits: ImageDataset, *planned: PlannedRun) -> None:
    run_certification(store, digits, planned, workers=0, listener=Listener())


def test_a_method_with_another_certificate_certifies_the_same_checkpoint_by_it(
    store: Store, digits: ImageDataset, trained: dict[str, Checkpoint]
) -> None:
    plan = plan_run(trained["uniform"], "x", digits, replace(OPTIONS, method="uniform++"))
    assert (plan.spec.method, plan.spec.certificate, plan.spec.procedure) == ("uniform++", "box", "top-two")
    assert plan.spec.checkpoint_sha256 == trained["uniform"].sha256
    certified(store, digits, plan)
    run = store.run(plan.spec.fingerprint())
    assert run.curve is not None
    assert (run.curve.certificate, run.curve.procedure, run.curve.standing) == ("box", "top-two", "declared")
    # The radii are those of the declared bounds, and not those of the usual ones.
    rows = store.image_columns(run.id, with_votes=True)
    assert rows.votes is not None
    counts_NRK = decode_votes(rows.votes)
    verdicts = CERTIFICATES["box"].certify(
        counts_NRK[:, 0], counts_NRK[:, -1], plan.spec.measure, failure_probability=0.001, procedure="top-two",
        images=ImageFacts(q=16, dims=64),
    )  # fmt: skip
    assert rows.radius_N.tolist() == np.where(verdicts.abstained_N, 0.0, verdicts.radius_N).tolist()
    (entry,) = configurations([run])
    assert entry.entry.title == "Uniform++"


def test_certificate_and_bounds_that_a_method_is_named_for_are_that_method(
    digits: ImageDataset, trained: dict[str, Checkpoint]
) -> None:
    named = plan_run(trained["uniform"], "x", digits, replace(OPTIONS, method="uniform++")).spec
    asked = plan_run(trained["uniform"], "x", digits, replace(OPTIONS, certificate="box", procedure="top-two")).spec
    assert asked == named
    other = plan_run(trained["uniform"], "x", digits, replace(OPTIONS, certificate="box")).spec
    assert (other.method, other.certificate, other.procedure) == ("uniform", "box", "one-versus-rest")


def test_a_run_as_earlier_releases_planned_it_keeps_its_fingerprint(
    digits: ImageDataset, trained: dict[str, Checkpoint]
) -> None:
    spec = plan_run(trained["uniform"], "x", digits, OPTIONS).spec
    assert "procedure" not in spec.canonical_json()
    assert spec == plan_run(trained["uniform"], "x", digits, replace(OPTIONS, method="uniform")).spec


@pytest.mark.parametrize(
    ("method", "changes", "complaint"),
    [
        (
            "cohen",
            {"method": "uniform"},
            "certifies checkpoints that uniform trained, and this one was trained by cohen",
        ),
        ("cohen", {"certificate": "box"}, "--certificate box: .*does not hold for gaussian"),
        ("cohen", {"certificate": "tomorrow"}, "--certificate tomorrow is unknown: choose from cohen"),
        ("uniform", {"certificate": "box-image"}, "looks at the pixels"),
        ("dssn", {"procedure": "top-two"}, "dssn is exact and needs no bounds"),
        ("dssn", {"certify_sigma": 1e-4}, "it needs at least 2"),
    ],
)
def test_a_protocol_that_does_not_suit_the_checkpoint_is_refused(
    digits: ImageDataset, trained: dict[str, Checkpoint], method: str, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UsageError, match=complaint):
        plan_run(trained[method], "x", digits, replace(OPTIONS, **changes))


@pytest.mark.parametrize("method", ["cohen", "dssn"])
def test_a_checkpoint_is_certified_at_another_sigma_than_its_training_and_the_board_says_so(
    store: Store, digits: ImageDataset, trained: dict[str, Checkpoint], method: str
) -> None:
    usual = plan_run(trained[method], "x", digits, OPTIONS)
    wider = plan_run(trained[method], "x", digits, replace(OPTIONS, certify_sigma=0.75))
    assert wider.spec.measure.sigma == 0.75
    assert (wider.spec.measure.levels is None) == (usual.spec.measure.levels is None)
    assert wider.spec.measure.offsets_seed == usual.spec.measure.offsets_seed
    certified(store, digits, usual, wider)
    runs = [store.run(plan.spec.fingerprint()) for plan in (usual, wider)]
    assert [(run.sigma, run.training_sigma) for run in runs] == [(0.5, 0.5), (0.75, 0.5)]
    labels = {entry.sigma: entry.entry.label for entry in configurations(runs)}
    assert labels == {0.5: "", 0.75: "trained at σ = 0.5"}
    assert len({threat_model_of(run) for run in runs}) == 1


def test_methods_that_share_their_training_share_the_trials_of_a_sweep(tmp_path: Path, digits: ImageDataset) -> None:
    options = SweepOptions(("uniform", "uniform++"), (0.5,), (0,), 1, OPTIONS)
    sweep = plan_sweep(options, digits)
    assert [cell.method for cell in sweep.cells] == ["uniform", "uniform++"]
    assert len(sweep.trials) == 1
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        finished = run_sweep(store, tmp_path, digits, sweep, workers=0, listener=Listener())
        assert [run.spec.method for run in finished] == ["uniform", "uniform++"]
        runs = store.sealed_runs()
    assert len({run.checkpoint_sha256 for run in runs}) == 1
    assert {certification_of(run).procedure for run in runs} == {"one-versus-rest", "top-two"}
