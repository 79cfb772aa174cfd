"""Curves from stored votes: equal to what the certificate says of them, and labelled by when they were chosen."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsbench.data.in_memory import load_digits
from rsbench.errors import StoreError, UsageError
from rsbench.jobs.recertify import Recertified, recertify_runs
from rsbench.records import ImageColumns, NewCurve, RunRecord
from rsbench.report.leaderboard import leaderboard
from rsbench.report.recertification import checked_question, recertifiable
from rsbench.specs import MeasureSpec, Procedure, SampleBudget
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.theory.recertification import Question, recertify, votes_of
from rsbench.votes_format import encode_votes
from tests.fixtures.results import DIGITS, PROVENANCE, certification_of, write_run

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


def asked(
    store: Store, run: RunRecord, *, certificate: str | None = None, n: int | None = None, alpha: float | None = None,
    procedure: Procedure | None = None, statement: str | None = None, data_root: Path | None = None,
) -> Recertified:  # fmt: skip
    known = recertifiable(store, run)
    question = checked_question(
        known, certificate=certificate, n=n, failure_probability=alpha, procedure=procedure
    )  # fmt: skip
    (found,) = recertify_runs(store, [(known, question)], statement=statement, data_root=data_root)
    return found


def truth(store: Store, run: RunRecord, question: Question) -> tuple[list[float], int]:
    """The ascending radii of the images classified correctly, and the abstentions, straight from the certificate."""
    images = store.image_columns(run.id, with_votes=True)
    votes = votes_of(images)
    verdicts = CERTIFICATES[question.certificate].certify(
        votes.selection_NK, votes.first_NK(question.n), run.spec.measure,
        failure_probability=question.failure_probability, procedure=question.procedure,
        images=ImageFacts(q=16, dims=64),
    )  # fmt: skip
    correct_N = (verdicts.predicted_N == images.label_N) & ~verdicts.abstained_N
    return sorted(verdicts.radius_N[correct_N].tolist()), int(verdicts.abstained_N.sum())


@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn", "dssn"])
def test_the_declared_question_gives_the_run_s_own_curve(store: Store, method: str) -> None:
    run = written(store, method)
    found = asked(store, run)
    assert run.curve is not None
    assert not found.new
    assert found.curve.standing == "declared"
    own = store.step_curves([run.curve.id])[run.curve.id]
    assert np.repeat(own.radius_M, own.count_M).tolist() == sorted(found.curve.radii.tolist())
    assert (found.curve.correct, found.curve.abstained) == (run.curve.correct, run.curve.abstained)
    assert found.curve.average_certified_radius == run.curve.average_certified_radius


@pytest.mark.parametrize(
    ("method", "certificate", "n", "alpha", "procedure", "standing"),
    [
        ("ssn", "box", 10_000, 0.001, "one-versus-rest", "declared"),
        ("ssn", "lee", 1_000, 0.001, "one-versus-rest", "exploratory"),
        ("ssn", "lee", 10_000, 0.05, "one-versus-rest", "exploratory"),
        ("uniform", "box-log", 100, 0.01, "top-two", "exploratory"),
        ("cohen", "li", 10_000, 0.001, "one-versus-rest", "declared"),
        ("cohen", "cohen", 10_000, 0.001, "top-two", "exploratory"),
    ],
)
def test_a_curve_is_what_the_certificate_says_of_the_first_n_votes(
    store: Store, method: str, certificate: str, n: int, alpha: float, procedure: Procedure, standing: str
) -> None:
    run = written(store, method)
    found = asked(store, run, certificate=certificate, n=n, alpha=alpha, procedure=procedure)
    radii, abstained = truth(store, run, Question(certificate, procedure, n, alpha))
    assert sorted(found.curve.radii.tolist()) == radii
    assert (found.curve.correct, found.curve.abstained) == (len(radii), abstained)
    assert found.curve.standing == standing
    kept = store.details(run.id).curves[-1]
    assert (kept.certificate, kept.n, kept.failure_probability, kept.standing) == (certificate, n, alpha, standing)
    steps = store.step_curves([kept.id])[kept.id]
    assert np.repeat(steps.radius_M, steps.count_M).tolist() == radii


def test_what_is_stated_afterwards_is_never_ranked_with_what_was_declared(store: Store) -> None:
    run = written(store, "ssn")
    asked(store, run, n=1_000, statement="the protocol of May")
    kept = store.details(run.id).curves[-1]
    assert (kept.standing, kept.statement) == ("stated-afterwards", "the protocol of May")
    runs = store.with_certified(store.sealed_runs(), [0.5])
    declared, stated = leaderboard(runs, norm="l1", radii=["0.5"], incomplete=0).groups
    assert [row.approach.remark for row in declared.rows] == [""]
    assert [row.approach.remark for row in stated.rows] == ["stated afterwards to be declared in the protocol of May"]
    assert "stated afterwards" in stated.protocol.heading


def test_a_statement_is_not_kept_where_the_run_s_own_declaration_says_as_much(store: Store) -> None:
    run = written(store, "ssn")
    asked(store, run, certificate="box", statement="the protocol of May")
    assert store.details(run.id).curves[-1].statement is None


def test_exploratory_curves_are_shown_only_when_asked_for_and_ranked_apart(store: Store) -> None:
    run = written(store, "ssn")
    asked(store, run, alpha=0.05)
    asked(store, run, certificate="box")
    assert [r.curve.certificate for r in store.sealed_runs() if r.curve] == ["lee", "box"]
    runs = store.with_certified(store.sealed_runs(exploratory=True), [0.5])
    declared, exploratory = leaderboard(runs, norm="l1", radii=["0.5"], incomplete=0).groups
    assert {row.approach.title for row in declared.rows} == {"SSN (box)", "SSN"}
    assert [row.approach.failure_probability for row in exploratory.rows] == [0.05]
    assert exploratory.protocol.heading.endswith("exploratory: chosen after a result was seen")


def test_the_same_curve_again_is_nothing_and_with_other_values_refused(database: str) -> None:
    with Store.create_or_open(database) as store:
        run = written(store, "ssn")
        found = asked(store, run, certificate="box")
        assert found.new
        assert not asked(store, run, certificate="box").new
        with pytest.raises(StoreError, match="box at n = 10000 with other values"):
            store.add_curve(run.id, replace(found.curve, correct=found.curve.correct - 1))
        kept = store.details(run.id).curves[1:]
        assert [curve.average_certified_radius for curve in kept] == [found.curve.average_certified_radius]


def test_an_open_run_is_refused(store: Store) -> None:
    run = written(store, "ssn", sealed=False)
    with pytest.raises(UsageError, match="is not sealed"):
        recertifiable(store, run)
    empty = NewCurve("lee", "one-versus-rest", 100, 0.001, "declared", 0, 0, 0.0, np.zeros(0))
    with pytest.raises(StoreError, match="is not sealed"):
        store.add_curve(run.id, empty)


@pytest.mark.parametrize(
    ("method", "options", "complaint"),
    [
        ("ssn", {"certificate": "cohen"}, "cohen does not hold for the splitting noise .* choose from lee, box-log"),
        ("ssn", {"certificate": "nope"}, "unknown certificate 'nope': choose from lee"),
        ("ssn", {"n": 37}, "keeps no votes at n = 37: choose from 100, 1000, 10000"),
        ("ssn", {"alpha": 1e-40, "n": 100}, "--n 100 can certify nothing at --alpha 1e-40: 133 would do"),
        ("ssn", {"alpha": 1.0}, "give a number between 0 and 1"),
        ("dssn", {"certificate": "box"}, "box does not hold for the deterministic-splitting noise"),
        ("dssn", {"n": 5}, "keeps no votes at n = 5: choose from 27"),
    ],
)
def test_what_cannot_be_asked_is_one_line(
    store: Store, method: str, options: dict[str, str | float], complaint: str
) -> None:
    run = written(store, method)
    with pytest.raises(UsageError, match=complaint) as error:
        asked(store, run, **options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert len(store.details(run.id).curves) == 1


def test_the_image_s_own_caps_are_used_and_of_other_images_refused(store: Store) -> None:
    digits = load_digits()
    spec = write_run(store, digits.info, "ssn", 1.0, 0, images="0:100:1", count=100)
    run = store.run(spec.fingerprint())
    found = asked(store, run, certificate="box-image").curve
    images = store.image_columns(run.id, with_votes=True)
    votes, x_ND = votes_of(images), digits.pixels(range(100)).reshape(100, -1) / 16.0
    verdicts = CERTIFICATES["box-image"].certify(
        votes.selection_NK, votes.estimation_NK, run.spec.measure, failure_probability=0.001,
        images=ImageFacts(caps_ND=np.maximum(x_ND, 1.0 - x_ND)),
    )  # fmt: skip
    radius_N = np.minimum(verdicts.radius_N, 64.0)
    correct_N = (verdicts.predicted_N == images.label_N) & ~verdicts.abstained_N
    assert found.radii.tolist() == radius_N[correct_N].tolist()
    with pytest.raises(UsageError, match="the images of digits here are not those of run"):
        asked(store, written(store, "ssn"), certificate="box-image")


def test_a_whole_box_counts_as_its_diameter() -> None:
    """With λ = 2√3 and four pixels, overlap (1 − 1/2λ)⁴ = 0.54 exceeds t = ½ + 0.0069: no image is far enough away."""
    counts_NRK = np.zeros((1, 2, 2), dtype=np.int64)
    counts_NRK[0, :, 1] = [100, 1000]
    image = ImageColumns(
        np.array([0]), np.array([1]), np.array([1]), np.array([0.0]), votes=tuple(encode_votes(counts_NRK))
    )
    tiny = replace(DIGITS, shape=(1, 2, 2))
    question = Question("box", "one-versus-rest", 1000, 0.001)
    found = recertify(
        [image], question, "declared", measure=MeasureSpec(family="splitting", sigma=2.0), dataset=tiny
    )  # fmt: skip
    assert found.radii.tolist() == [4.0]
    assert found.average_certified_radius == 4.0
    certified = CERTIFICATES["box"].certify(
        counts_NRK[:, 0], counts_NRK[:, 1], MeasureSpec(family="splitting", sigma=2.0), failure_probability=0.001,
        images=ImageFacts(dims=4),
    )  # fmt: skip
    assert math.isinf(certified.radius_N[0])


def test_the_cut_into_blocks_changes_nothing(store: Store) -> None:
    run = written(store, "ssn")
    known = recertifiable(store, run)
    curves = [
        recertify(
            store.image_blocks(run.id, size), known.declared, "declared", measure=known.measure, dataset=run.dataset
        )
        for size in (1, 7, 100, 1_000)
    ]
    for curve in curves[1:]:
        assert curve.radii.tolist() == curves[0].radii.tolist()
        assert curve.average_certified_radius == curves[0].average_certified_radius


def test_equal_votes_under_another_specification_give_equal_curves(store: Store) -> None:
    """Votes are the truth: what was not a vote cannot change a curve."""
    run = written(store, "ssn")
    spec = certification_of(run).model_copy(update={"batch_size": 7})
    opened = store.open_run(spec, image_count=445)
    store.write_chunk(opened.id, store.image_columns(run.id, with_votes=True), seconds=1.0, provenance=PROVENANCE)
    store.seal(opened.id)
    one, other = (
        asked(store, known, certificate="box", n=1_000).curve for known in (run, store.run(spec.fingerprint()))
    )
    assert one.radii.tolist() == other.radii.tolist()
