"""Recertified curves in the store: labelled by when they were chosen, and never stored twice."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsbench.data.in_memory import load_digits
from rsbench.errors import StoreError, UsageError
from rsbench.jobs.recertify import CurveChoices, RecertifiedCurve, plan_all_curves, plan_curves, recertify_runs
from rsbench.recertification import decoded
from rsbench.records import NewCurve, RunRecord
from rsbench.report.leaderboard import leaderboard
from rsbench.specs import SampleBudget
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from tests.fixtures.results import DIGITS, PROVENANCE, certification_of, counts_at, write_run

BUDGET = SampleBudget(n_select=100, n_estimate=10_000, failure_probability=0.001)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create_or_open(str(tmp_path / "results.db")) as opened:
        yield opened


def written(store: Store, method: str, sigma: float = 0.5, seed: int = 0, *, sealed: bool = True) -> RunRecord:
    spec = write_run(
        store, DIGITS, method, sigma, seed, images="0:445:1", count=445, budget=BUDGET, sealed=sealed
    )  # fmt: skip
    return store.run(spec.fingerprint())


def recertified(
    store: Store, run: RunRecord, *, certificate: str | None = None, n: int | None = None, alpha: float | None = None,
    statement: str | None = None,
) -> RecertifiedCurve:  # fmt: skip
    choices = CurveChoices(
        () if certificate is None else (certificate,), () if n is None else (n,), () if alpha is None else (alpha,)
    )
    planned = plan_curves(store, run, choices)
    (curve,) = recertify_runs(store, planned, statement=statement, data_root=None)
    return curve


def test_the_declared_curve_is_already_in_the_store(store: Store) -> None:
    assert not recertified(store, written(store, "ssn")).is_new


def test_a_curve_is_stored_with_its_choices_and_its_standing(store: Store) -> None:
    run = written(store, "ssn")
    result = recertified(store, run, n=1_000, alpha=0.05).result
    stored = store.details(run.id).curves[-1]
    assert (stored.certificate, stored.n, stored.failure_probability) == ("lee", 1_000, 0.05)
    assert (stored.standing, stored.statement) == ("exploratory", None)
    steps = store.step_curves([stored.id])[stored.id]
    assert np.repeat(steps.radius_M, steps.count_M).tolist() == sorted(result.curve.radii.tolist())


def test_every_combination_of_choices_is_planned_once(store: Store) -> None:
    run = written(store, "ssn")
    choices = CurveChoices(("lee", "box"), "all", (0.001, 0.01), "top-two")
    requests = [curve.request for curve in plan_curves(store, run, choices)]
    assert len(requests) == len(set(requests)) == 2 * 3 * 2
    assert {request.n for request in requests} == {100, 1_000, 10_000}
    assert {request.procedure for request in requests} == {"top-two"}


def test_runs_that_cannot_be_recertified_are_reported_and_the_others_planned(store: Store) -> None:
    ssn, gaussian = written(store, "ssn"), written(store, "cohen")
    reasons: list[str] = []
    choices = CurveChoices(("box",))
    planned = plan_all_curves(store, choices, dataset=None, methods=(), report=reasons.append)
    assert [curve.votes.run.fingerprint for curve in planned] == [ssn.fingerprint]
    assert len(reasons) == 1
    assert f"does not hold for the gaussian noise of run {gaussian.fingerprint[:12]}" in reasons[0]
    with pytest.raises(UsageError, match="no sealed run matches"):
        plan_all_curves(store, choices, dataset="nowhere", methods=(), report=reasons.append)


def test_choices_that_a_user_states_were_fixed_before_are_marked_as_stated_afterwards(store: Store) -> None:
    run = written(store, "ssn")
    recertified(store, run, n=1_000, statement="the protocol of May")
    kept = store.details(run.id).curves[-1]
    assert (kept.standing, kept.statement) == ("stated-afterwards", "the protocol of May")
    runs = store.sealed_runs()
    declared, stated = leaderboard(runs, counts_at(store, runs, 0.5), norm="l1", radii=["0.5"], incomplete=0).groups
    assert (declared.protocol.standing, stated.protocol.standing) == ("declared", "stated-afterwards")
    assert "stated afterwards" in stated.protocol.heading
    assert [row.entry.remark for row in declared.rows] == [""]
    assert [row.entry.remark for row in stated.rows] == ["stated afterwards to be declared in the protocol of May"]


def test_a_statement_is_not_stored_where_the_curve_is_declared_anyway(store: Store) -> None:
    run = written(store, "ssn")
    recertified(store, run, certificate="box", statement="the protocol of May")
    assert store.details(run.id).curves[-1].statement is None


def test_exploratory_curves_are_shown_only_when_requested_and_ranked_apart(store: Store) -> None:
    run = written(store, "ssn")
    recertified(store, run, alpha=0.05)
    recertified(store, run, certificate="box")
    assert [r.curve.certificate for r in store.sealed_runs() if r.curve] == ["lee", "box"]
    runs = store.sealed_runs(exploratory=True)
    declared, exploratory = leaderboard(
        runs, counts_at(store, runs, 0.5), norm="l1", radii=["0.5"], incomplete=0
    ).groups
    assert {row.entry.title for row in declared.rows} == {"SSN (box)", "SSN"}
    assert [row.entry.failure_probability for row in exploratory.rows] == [0.05]
    assert exploratory.protocol.heading.endswith("exploratory: chosen after a result was seen")


@pytest.mark.parametrize("words", [(None, "the protocol of May"), ("the protocol of May", None), ("May", "June")])
def test_a_stored_curve_keeps_its_standing_and_its_words_and_is_reported_so(
    store: Store, words: tuple[str | None, str | None]
) -> None:
    run = written(store, "ssn")
    first, second = (recertified(store, run, n=1_000, statement=statement) for statement in words)
    stored = store.details(run.id).curves[-1]
    assert stored.standing == ("exploratory" if words[0] is None else "stated-afterwards")
    for curve in (first, second):
        assert (curve.result.curve.standing, curve.result.statement) == (stored.standing, words[0])
    assert (first.is_new, second.is_new) == (True, False)


def test_an_identical_curve_has_no_effect_and_another_one_is_refused(database: str) -> None:
    with Store.create_or_open(database) as store:
        run = written(store, "ssn")
        first = recertified(store, run, certificate="box")
        assert first.is_new
        assert not recertified(store, run, certificate="box").is_new
        curve = first.result.curve
        with pytest.raises(StoreError, match="has a different curve of box at n = 10000"):
            store.add_curve(run.id, replace(curve, correct=curve.correct - 1))
        stored = store.details(run.id).curves[1:]
        assert [record.average_certified_radius for record in stored] == [curve.average_certified_radius]


def test_an_open_run_is_refused(store: Store) -> None:
    run = written(store, "ssn", sealed=False)
    with pytest.raises(UsageError, match="is not sealed"):
        plan_curves(store, run, CurveChoices(("box",)))
    empty = NewCurve("lee", "one-versus-rest", 100, 0.001, "declared", 0, 0, 0.0, np.zeros(0))
    with pytest.raises(StoreError, match="is not sealed"):
        store.add_curve(run.id, empty)


def test_a_request_that_cannot_be_computed_stores_nothing(store: Store) -> None:
    run = written(store, "ssn")
    with pytest.raises(UsageError, match="cohen does not hold"):
        recertified(store, run, certificate="cohen")
    assert len(store.details(run.id).curves) == 1


def test_the_images_own_caps_are_used_and_of_other_images_refused(store: Store) -> None:
    digits = load_digits()
    spec = write_run(store, digits.info, "ssn", 1.0, 0, images="0:100:1", count=100)
    run = store.run(spec.fingerprint())
    curve = recertified(store, run, certificate="box-image").result.curve
    images = store.image_columns(run.id, with_votes=True)
    votes, x_ND = decoded(images).votes, digits.pixels(range(100)).reshape(100, -1) / 16.0
    verdicts = CERTIFICATES["box-image"].certify(
        votes.selection_NK, votes.estimation_NK, certification_of(run).measure, failure_probability=0.001,
        images=ImageFacts(caps_ND=np.maximum(x_ND, 1.0 - x_ND)),
    )  # fmt: skip
    radius_N = np.minimum(verdicts.radius_N, 64.0)
    correct_N = (verdicts.predicted_N == images.label_N) & ~verdicts.abstained_N
    assert curve.radii.tolist() == radius_N[correct_N].tolist()
    with pytest.raises(UsageError, match="digits has other images here than in run"):
        recertified(store, written(store, "ssn"), certificate="box-image")


def test_equal_votes_under_another_specification_give_equal_curves(store: Store) -> None:
    """A curve depends on the votes, not on how they were computed."""
    run = written(store, "ssn")
    spec = certification_of(run).model_copy(update={"batch_size": 7})
    opened = store.open_run(spec, image_count=445)
    store.write_chunk(opened.id, store.image_columns(run.id, with_votes=True), seconds=1.0, provenance=PROVENANCE)
    store.seal(opened.id)
    one, other = (
        recertified(store, each, certificate="box", n=1_000).result.curve
        for each in (run, store.run(spec.fingerprint()))
    )
    assert one.radii.tolist() == other.radii.tolist()


def test_an_exact_run_has_no_other_alpha_and_is_left_out_where_all_runs_are_meant(store: Store) -> None:
    run = written(store, "dssn")
    with pytest.raises(UsageError, match="is exact and has neither --alpha nor --bounds"):
        plan_curves(store, run, CurveChoices(failure_probabilities=(0.01,)))
    with pytest.raises(UsageError, match="is exact and has neither --alpha nor --bounds"):
        plan_curves(store, run, CurveChoices(procedure="top-two"))
    reasons: list[str] = []
    choices = CurveChoices(failure_probabilities=(0.01,))
    assert plan_all_curves(store, choices, dataset=None, methods=(), report=reasons.append) == []
    assert [reason.startswith(f"run {run.fingerprint[:12]} is exact") for reason in reasons] == [True]
