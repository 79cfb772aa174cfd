"""Curves that are computed from stored votes: what can be requested, and that the numbers are the certificate's."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsbench.errors import UsageError
from rsbench.recertification import (
    CurveRequest,
    RunVotes,
    compute_curve,
    decoded,
    open_run_votes,
    run_votes,
    standing_of,
)
from rsbench.records import ImageColumns, RunRecord
from rsbench.specs import MeasureSpec, Procedure, SampleBudget
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.votes_format import encode_votes
from tests.fixtures.results import DIGITS, certification_of, write_run

BUDGET = SampleBudget(n_select=100, n_estimate=10_000, failure_probability=0.001)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a sealed run of each method at σ = 0.5."""
    path = tmp_path_factory.mktemp("runs") / "results.db"
    with Store.create_or_open(str(path)) as store:
        for method in ("cohen", "uniform", "ssn", "dssn"):
            write_run(store, DIGITS, method, 0.5, 0, images="0:445:1", count=445, budget=BUDGET)
    return path


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    with Store.open_existing(str(file)) as opened:
        yield opened


def votes_of(store: Store, method: str) -> RunVotes:
    return run_votes(store, next(run for run in store.sealed_runs() if run.method == method))


def radii_of_certificate(store: Store, run: RunRecord, request: CurveRequest) -> tuple[list[float], int]:
    """The ascending radii of the images classified correctly, and the abstentions, straight from the certificate."""
    images = store.image_columns(run.id, with_votes=True)
    votes = decoded(images).votes
    verdicts = CERTIFICATES[request.certificate].certify(
        votes.selection_NK, votes.first_NK(request.n), certification_of(run).measure,
        failure_probability=request.failure_probability, procedure=request.procedure,
        images=ImageFacts(q=16, dims=64),
    )  # fmt: skip
    correct_N = (verdicts.predicted_N == images.label_N) & ~verdicts.abstained_N
    return sorted(verdicts.radius_N[correct_N].tolist()), int(verdicts.abstained_N.sum())


@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn", "dssn"])
def test_the_declared_request_gives_the_stored_curve(store: Store, method: str) -> None:
    votes = votes_of(store, method)
    result = votes.compute(votes.request())
    run = votes.run
    assert run.curve is not None
    assert result.is_declared
    assert result.curve.standing == "declared"
    stored = store.step_curves([run.curve.id])[run.curve.id]
    assert result.step_curve.radius_M.tolist() == stored.radius_M.tolist()
    assert result.step_curve.count_M.tolist() == stored.count_M.tolist()
    assert (result.curve.correct, result.curve.abstained) == (run.curve.correct, run.curve.abstained)
    assert result.curve.average_certified_radius == run.curve.average_certified_radius


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
@pytest.mark.parametrize("most_counts", [0, 10**9])
def test_a_curve_is_what_the_certificate_says_of_the_first_n_votes(
    file: Path, store: Store, method: str, certificate: str, n: int, alpha: float, procedure: Procedure, standing: str,
    most_counts: int,
) -> None:  # fmt: skip
    run = votes_of(store, method).run
    votes = open_run_votes(str(file), run, most_counts=most_counts)
    assert (votes.decoded_blocks is None) == (most_counts == 0)
    request = votes.request(certificate=certificate, n=n, failure_probability=alpha, procedure=procedure)
    assert request == CurveRequest(certificate, procedure, n, alpha)
    result = votes.compute(request)
    radii, abstained = radii_of_certificate(store, run, request)
    assert sorted(result.curve.radii.tolist()) == radii
    assert (result.curve.correct, result.curve.abstained) == (len(radii), abstained)
    assert (result.curve.standing, result.statement) == (standing, None)
    assert (result.curve.certificate, result.curve.n, result.curve.failure_probability) == (certificate, n, alpha)


def test_a_statement_applies_where_the_curve_would_be_exploratory(store: Store) -> None:
    votes = votes_of(store, "ssn")
    stated = votes.compute(votes.request(n=1_000), statement="the protocol of May")
    assert (stated.curve.standing, stated.statement) == ("stated-afterwards", "the protocol of May")
    declared = votes.compute(votes.request(certificate="box"), statement="the protocol of May")
    assert (declared.curve.standing, declared.statement) == ("declared", None)


def test_only_the_theorem_may_be_chosen_afterwards(store: Store) -> None:
    votes = votes_of(store, "ssn")
    declared = votes.declared
    assert standing_of(replace(declared, certificate="box"), declared) == "declared"
    for change in ({"n": 100}, {"failure_probability": 0.01}, {"procedure": "top-two"}):
        assert standing_of(replace(declared, **change), declared) == "exploratory"


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("ssn", {"certificate": "cohen"}, "cohen does not hold for the splitting noise .* choose from lee, box-log"),
        ("ssn", {"certificate": "nope"}, "certificate 'nope' is not known here: choose from lee, .* with --plugin"),
        ("ssn", {"n": 37}, "has no votes at n = 37: choose from 100, 1000, 10000"),
        ("ssn", {"failure_probability": 1e-40, "n": 100}, "--n 100 certifies no image at --alpha 1e-40: .* is 133"),
        ("ssn", {"failure_probability": 1.0}, "give a number between 0 and 1"),
        ("dssn", {"certificate": "box"}, "box does not hold for the deterministic-splitting noise"),
        ("dssn", {"n": 5}, "has no votes at n = 5: choose from 27"),
    ],
)
def test_a_request_that_cannot_be_computed_is_one_line(
    store: Store, method: str, options: dict[str, str | float], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as error:
        votes_of(store, method).request(**options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_a_theorem_that_does_not_hold_at_the_run_s_sigma_is_refused(store: Store) -> None:
    votes = votes_of(store, "ssn")
    assert votes.objection("box-log") is None
    # At σ = 0.25, 2λ is below 1.
    measure = votes.measure.model_copy(update={"sigma": 0.25})
    narrow = replace(
        votes, run=replace(votes.run, spec=certification_of(votes.run).model_copy(update={"measure": measure}))
    )
    assert "box-log needs 2λ > 1" in (narrow.objection("box-log") or "")
    with pytest.raises(UsageError, match="box-log needs 2λ > 1"):
        narrow.request(certificate="box-log")


def test_a_run_whose_certificate_is_not_known_here_can_be_certified_by_another(store: Store) -> None:
    run = votes_of(store, "ssn").run
    spec = certification_of(run).model_copy(update={"certificate": "of-a-plugin"})
    votes = run_votes(store, replace(run, spec=spec))
    assert votes.compute(votes.request(certificate="lee")).curve.standing == "declared"
    with pytest.raises(UsageError, match="certificate 'of-a-plugin' is not known here"):
        votes.request()


def test_an_open_run_is_refused(tmp_path: Path) -> None:
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:445:1", count=445, sealed=False)
        with pytest.raises(UsageError, match="is not sealed"):
            run_votes(store, store.run(spec.fingerprint()))


def test_the_size_of_blocks_changes_nothing(store: Store) -> None:
    votes = votes_of(store, "ssn")
    curves = [
        compute_curve(
            map(decoded, votes.read_blocks(size)), votes.declared, "declared", measure=votes.measure, dataset=DIGITS
        )
        for size in (1, 7, 100, 1_000)
    ]
    for curve in curves[1:]:
        assert curve.radii.tolist() == curves[0].radii.tolist()
        assert curve.average_certified_radius == curves[0].average_certified_radius


def test_a_whole_box_counts_as_its_diameter() -> None:
    """With λ = 2√3 and four pixels, overlap (1 − 1/2λ)⁴ = 0.54 exceeds t = ½ + 0.0069: no image is far enough away."""
    counts_NRK = np.zeros((1, 2, 2), dtype=np.int64)
    counts_NRK[0, :, 1] = [100, 1000]
    image = ImageColumns(
        np.array([0]), np.array([1]), np.array([1]), np.array([0.0]), votes=tuple(encode_votes(counts_NRK))
    )
    tiny, measure = replace(DIGITS, shape=(1, 2, 2)), MeasureSpec(family="splitting", sigma=2.0)
    request = CurveRequest("box", "one-versus-rest", 1000, 0.001)
    curve = compute_curve([decoded(image)], request, "declared", measure=measure, dataset=tiny)
    assert curve.radii.tolist() == [4.0]
    assert curve.average_certified_radius == 4.0
    verdicts = CERTIFICATES["box"].certify(
        counts_NRK[:, 0], counts_NRK[:, 1], measure, failure_probability=0.001, images=ImageFacts(dims=4)
    )
    assert math.isinf(verdicts.radius_N[0])
