"""Curves that are computed while somebody looks: those of the store's own recertification, and what is told of them."""

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsbench.cli.main import run as run_command
from rsbench.errors import UsageError
from rsbench.records import RunRecord
from rsbench.report.live import LiveRun, askable_runs, first_choice, open_live_run
from rsbench.report.live_text import ASKED, OWN, live_frame, live_table, run_label
from rsbench.report.recertification import checked_question, recertifiable
from rsbench.report.runs import Report, open_report
from rsbench.store.store import Store
from rsbench.theory.recertification import recertify
from tests.fixtures.board import write_board

RADII = ("0.25", "0.5", "1")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("live") / "results.db"
    write_board(found)
    return found


@pytest.fixture(scope="module")
def report(file: Path) -> Report:
    return open_report(str(file), exploratory=True)


def run_of(report: Report, method: str, sigma: float = 1.0, tier: str = "measured") -> RunRecord:
    return next(r for r in askable_runs(report.sealed) if (r.method, r.sigma, r.tier) == (method, sigma, tier))


@pytest.fixture
def ssn(report: Report) -> LiveRun:
    return open_live_run(report.location, run_of(report, "ssn"))


@pytest.mark.parametrize("most_kept", [10**6, 0])
@pytest.mark.parametrize(("certificate", "n", "alpha"), [("box", 1000, 0.001), ("lee", 100, 0.01)])
def test_a_live_curve_is_the_one_that_would_be_stored(
    report: Report, certificate: str, n: int, alpha: float, most_kept: int
) -> None:
    run = run_of(report, "ssn")
    live = open_live_run(report.location, run, most_kept=most_kept)
    assert (live.kept is None) == (most_kept == 0)
    asked = live.ask(certificate, procedure="one-versus-rest", n=n, alpha=alpha)
    with Store.open_existing(report.location) as store:
        known = recertifiable(store, run)
        question = checked_question(known, certificate=certificate, n=n, failure_probability=alpha)
        stored = recertify(
            store.image_blocks(run.id, 100), question, "declared", measure=known.measure, dataset=run.dataset
        )
    assert asked.question == question
    assert sorted(asked.curve.radii.tolist()) == sorted(stored.radii.tolist())
    assert asked.curve.average_certified_radius == stored.average_certified_radius
    assert asked.curve.abstained == stored.abstained


def test_another_theorem_on_the_declared_bounds_is_declared(ssn: LiveRun) -> None:
    assert ssn.ask("lee").is_own
    assert ssn.ask("box").standing == "declared"
    assert ssn.ask("box", n=100).standing == "exploratory"
    assert ssn.ask("box", alpha=0.01).standing == "exploratory"
    assert ssn.ask("lee", procedure="top-two").standing == "exploratory"


def test_only_certificates_that_can_be_computed_here_are_offered(report: Report, ssn: LiveRun) -> None:
    assert ssn.certificates("l1") == ["lee", "box-log", "box"]
    [reason] = ssn.left_out("l1")
    assert reason.startswith("box-image looks at the pixels")
    # At σ = 0.25, 2λ is below 1.
    narrow = replace(ssn.known, measure=ssn.known.measure.model_copy(update={"sigma": 0.25}))
    assert replace(ssn, known=narrow).certificates("l1") == ["lee", "box"]
    with pytest.raises(UsageError, match="box-log needs 2λ > 1"):
        checked_question(narrow, certificate="box-log")
    gaussian = open_live_run(report.location, run_of(report, "cohen"))
    assert gaussian.certificates("l2") == ["cohen", "lecuyer", "li"]


def test_a_question_that_can_certify_nothing_is_one_line(ssn: LiveRun) -> None:
    assert min(ssn.alphas) == 1e-6
    assert ssn.known.declared.failure_probability in ssn.alphas
    with pytest.raises(UsageError, match="can certify nothing"):
        replace(ssn, known=replace(ssn.known, prefixes=(10, 1000))).ask("lee", n=10, alpha=1e-6)


def test_the_command_keeps_the_very_curve(report: Report, ssn: LiveRun, file: Path, tmp_path: Path) -> None:
    asked = ssn.ask("box", procedure="top-two", n=100, alpha=0.02)
    assert asked.kept_as(report.sealed) is None
    copy = tmp_path / "copy of results.db"
    copy.write_bytes(file.read_bytes())
    words = shlex.split(asked.command(str(copy)))
    assert words[:2] == ["rsbench", "recertify"]
    assert run_command(words[1:]) == 0
    kept = asked.kept_as(open_report(str(copy), exploratory=True).sealed)
    assert kept is not None
    assert kept.average_certified_radius == asked.curve.average_certified_radius
    assert (kept.correct, kept.abstained, kept.standing) == (asked.curve.correct, asked.curve.abstained, "exploratory")


def test_a_command_names_only_what_the_run_did_not_declare(ssn: LiveRun) -> None:
    name = ssn.run.fingerprint[:12]
    assert ssn.ask("box").command() == f"rsbench recertify {name} --certificate box"
    assert ssn.ask("lee", n=100).command() == f"rsbench recertify {name} --certificate lee --n 100"
    assert ssn.ask("lee", alpha=1e-5).command() == f"rsbench recertify {name} --certificate lee --alpha 1e-05"


def test_the_table_tells_both_and_their_difference_rounded_down(ssn: LiveRun) -> None:
    asked = ssn.ask("lee", n=100)
    table = live_table(asked, RADII)
    assert list(table.columns) == ["Curve", "Clean", "r = 0.25", "r = 0.5", "r = 1", "ACR", "Abstentions"]
    own, now, difference = (table.iloc[i] for i in range(3))
    assert own["Curve"].startswith(f"{OWN}  \n")
    assert "lee · one-versus-rest · n 100 · α 0.001" in now["Curve"]
    for column in table.columns[1:5]:
        told = float(difference[column].replace("−", "-"))
        assert told == pytest.approx(float(now[column]) - float(own[column]), abs=0.1 + 1e-9)
    assert difference["ACR"].startswith("−")
    same = live_table(ssn.ask("lee"), RADII)
    assert same.iloc[2].tolist()[1:] == ["0"] * 6


def test_the_frame_holds_both_curves(ssn: LiveRun) -> None:
    frame = live_frame(ssn.ask("box"))
    assert list(dict.fromkeys(frame["line"])) == [OWN, ASKED]
    assert (frame.groupby("line")["radius"].min() == 0.0).all()
    assert (frame.groupby("line")["certified_accuracy"].min() == 0.0).all()


def test_runs_to_choose_from_stand_once_and_none_is_withheld(report: Report) -> None:
    runs = askable_runs(report.sealed)
    assert len({run.fingerprint for run in runs}) == len(runs) == 16 - 2 + 3
    assert all(run.curve is not None and run.curve.is_primary for run in runs)
    assert [run.dataset.name for run in runs] == sorted(run.dataset.name for run in runs)
    assert first_choice(runs).method == "cohen"
    imported = [run for run in runs if run.tier == "imported-radii"]
    assert first_choice(imported) is imported[0]
    assert run_label(imported[0]) == f"cifar10 · their_*method* · σ 0.75 · {imported[0].fingerprint[:12]}"


@pytest.mark.parametrize(
    ("method", "tier", "told"),
    [("their_*method*", "imported-radii", "was imported with its radii only"), ("dssn", "measured", "is exact")],
)
def test_a_run_that_cannot_be_asked_says_why(report: Report, method: str, tier: str, told: str) -> None:
    run = run_of(report, method, 0.75 if tier == "imported-radii" else 1.0, tier)
    if method == "dssn":
        live = open_live_run(report.location, run)
        assert live.exact
        assert told in live.exact_text
        assert np.isclose(live.ask("dssn").curve.average_certified_radius, run.curve.average_certified_radius)  # type: ignore[union-attr]
        return
    with pytest.raises(UsageError, match=told) as caught:
        open_live_run(report.location, run)
    assert str(caught.value).startswith("Run ")


def test_imported_votes_can_be_asked_at_their_n_alone(report: Report) -> None:
    live = open_live_run(report.location, run_of(report, "ssn", tier="imported-votes"))
    assert live.known.prefixes == (1000,)
    assert live.ask("box").standing == "declared"
