"""Recertified curves for people: what the page offers, the command that stores a curve, and tables of both curves."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.cli.main import run as run_command
from rsbench.errors import UsageError
from rsbench.recertification import CurveResult, RunVotes, open_run_votes
from rsbench.records import RunRecord, StepCurve
from rsbench.report.recertified import (
    DECLARED,
    REQUESTED,
    certificate_objections,
    fixed_curve_reason,
    initial_run,
    paired_frame,
    paired_table,
    recertified_json,
    recertify_command,
    run_label,
    selectable_alphas,
    selectable_certificates,
    selectable_runs,
    stored_curve,
)
from rsbench.report.run_facts import curve_of
from rsbench.report.runs import Report, open_report
from rsbench.specs import Procedure
from tests.fixtures.board import write_board
from tests.fixtures.results import certification_of

RADII = ("0.25", "0.5", "1")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recertified") / "results.db"
    write_board(path)
    return path


@pytest.fixture(scope="module")
def report(file: Path) -> Report:
    return open_report(str(file), exploratory=True)


def run_of(report: Report, method: str, sigma: float = 1.0, tier: str = "measured") -> RunRecord:
    return next(r for r in selectable_runs(report.sealed) if (r.method, r.sigma, r.tier) == (method, sigma, tier))


@pytest.fixture
def ssn(report: Report) -> RunVotes:
    return open_run_votes(report.location, run_of(report, "ssn"))


@pytest.fixture
def declared(report: Report, ssn: RunVotes) -> StepCurve:
    return report.step_curves([ssn.run])[curve_of(ssn.run).id]


def computed(
    votes: RunVotes, certificate: str, *, n: int | None = None, alpha: float | None = None,
    procedure: Procedure | None = None,
) -> CurveResult:  # fmt: skip
    request = votes.request(certificate=certificate, n=n, failure_probability=alpha, procedure=procedure)
    return votes.compute(request)


def test_only_certificates_that_the_page_can_compute_are_selectable(report: Report, ssn: RunVotes) -> None:
    assert selectable_certificates(ssn, "l1") == ["lee", "box-log", "box"]
    [objection] = certificate_objections(ssn, "l1")
    assert objection.startswith("box-image needs the pixels")
    # At σ = 0.25, 2λ is below 1.
    measure = ssn.measure.model_copy(update={"sigma": 0.25})
    spec = certification_of(ssn.run).model_copy(update={"measure": measure})
    narrow = replace(ssn, run=replace(ssn.run, spec=spec))
    assert selectable_certificates(narrow, "l1") == ["lee", "box"]
    gaussian = open_run_votes(report.location, run_of(report, "cohen"))
    assert selectable_certificates(gaussian, "l2") == ["cohen", "lecuyer", "li"]


def test_the_declared_failure_probability_is_selectable(ssn: RunVotes) -> None:
    assert min(selectable_alphas(ssn)) == 1e-6
    unusual = replace(ssn, declared=replace(ssn.declared, failure_probability=0.003))
    assert 0.003 in selectable_alphas(unusual)


def test_the_command_stores_the_same_curve(report: Report, ssn: RunVotes, file: Path, tmp_path: Path) -> None:
    result = computed(ssn, "box", procedure="top-two", n=100, alpha=0.02)
    assert stored_curve(result, report.sealed) is None
    copy = tmp_path / "copy of results.db"
    copy.write_bytes(file.read_bytes())
    words = shlex.split(recertify_command(result, str(copy)))
    assert words[:2] == ["rsbench", "recertify"]
    assert run_command(words[1:]) == 0
    stored = stored_curve(result, open_report(str(copy), exploratory=True).sealed)
    assert stored is not None
    assert stored.average_certified_radius == result.curve.average_certified_radius
    assert (stored.correct, stored.abstained) == (result.curve.correct, result.curve.abstained)
    assert stored.standing == "exploratory"


def test_a_command_names_only_what_the_run_did_not_declare(ssn: RunVotes) -> None:
    command = f"rsbench recertify {ssn.run.fingerprint[:12]}"
    assert recertify_command(computed(ssn, "box")) == f"{command} --certificate box"
    assert recertify_command(computed(ssn, "lee", n=100)) == f"{command} --certificate lee --n 100"
    assert recertify_command(computed(ssn, "lee", alpha=1e-5)) == f"{command} --certificate lee --alpha 1e-05"


def test_the_table_shows_both_curves_and_their_difference_rounded_down(ssn: RunVotes, declared: StepCurve) -> None:
    table = paired_table(declared, computed(ssn, "lee", n=100), RADII)
    assert list(table.columns) == ["Curve", "Clean", "r = 0.25", "r = 0.5", "r = 1", "ACR", "Abstentions"]
    before, after, difference = (table.iloc[i] for i in range(3))
    assert before["Curve"].startswith(f"{DECLARED}  \n")
    assert "lee · one-versus-rest · n 100 · α 0.001" in after["Curve"]
    for column in table.columns[1:5]:
        shown = float(difference[column].replace("−", "-"))
        assert shown == pytest.approx(float(after[column]) - float(before[column]), abs=0.1 + 1e-9)
    assert difference["ACR"].startswith("−")
    same = paired_table(declared, computed(ssn, "lee"), RADII)
    assert same.iloc[2].tolist()[1:] == ["0"] * 6


def test_the_frame_holds_both_curves(ssn: RunVotes, declared: StepCurve) -> None:
    frame = paired_frame(declared, computed(ssn, "box"))
    assert list(dict.fromkeys(frame["line"])) == [DECLARED, REQUESTED]
    assert (frame.groupby("line")["radius"].min() == 0.0).all()
    assert (frame.groupby("line")["certified_accuracy"].min() == 0.0).all()


def test_json_has_the_shares_of_the_radii_that_hold(ssn: RunVotes) -> None:
    result = computed(ssn, "box", n=100)
    values = [entry["value"] for entry in recertified_json(result, RADII)["certified_accuracy"]]
    assert values == [(result.curve.radii > float(radius)).sum() / 445 for radius in RADII]


def test_selectable_runs_come_once_and_none_is_excluded_from_ranking(report: Report) -> None:
    runs = selectable_runs(report.sealed)
    assert len({run.fingerprint for run in runs}) == len(runs) == 16 - 2 + 3
    assert all(run.curve is not None and run.curve.is_primary for run in runs)
    assert [run.dataset.name for run in runs] == sorted(run.dataset.name for run in runs)
    assert initial_run(runs).method == "cohen"
    imported = [run for run in runs if run.tier == "imported-radii"]
    assert initial_run(imported) is imported[0]
    assert run_label(imported[0]) == f"cifar10 · their_*method* · σ 0.75 · {imported[0].fingerprint[:12]}"


def test_an_exact_run_has_no_other_curve(report: Report, ssn: RunVotes) -> None:
    votes = open_run_votes(report.location, run_of(report, "dssn"))
    assert "is exact" in (fixed_curve_reason(votes) or "")
    assert computed(votes, "dssn").curve.average_certified_radius == curve_of(votes.run).average_certified_radius
    assert fixed_curve_reason(ssn) is None


def test_radii_alone_cannot_be_recertified(report: Report) -> None:
    with pytest.raises(UsageError, match="was imported with radii only"):
        open_run_votes(report.location, run_of(report, "their_*method*", 0.75, "imported-radii"))


def test_imported_votes_can_be_recertified_at_their_n_alone(report: Report) -> None:
    votes = open_run_votes(report.location, run_of(report, "ssn", tier="imported-votes"))
    assert votes.prefixes == (1000,)
    assert computed(votes, "box").curve.standing == "declared"
