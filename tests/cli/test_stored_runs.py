"""Commands that work on sealed runs: recertify, annotate, db check."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from rsbench.cli.main import run
from rsbench.store.store import Store
from tests.fixtures.commands import refused
from tests.fixtures.results import DIGITS, write_run


@pytest.fixture
def runs(home: Path) -> dict[str, str]:
    """The fingerprints of a sealed run of each method, by method."""
    with Store.create_or_open(str(home / "results.db")) as store:
        return {
            method: write_run(store, DIGITS, method, 0.5, 0, images="0:50:1", count=50).fingerprint()
            for method in ("ssn", "uniform", "dssn")
        }


def printed(arguments: str, capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    capfd.readouterr()
    assert run(arguments.split()) == 0
    captured = capfd.readouterr()
    return captured.out, captured.err


def printed_json(arguments: str, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(printed(f"{arguments} --json", capfd)[0])
    return document


def test_recertify_then_leaderboard_then_show(runs: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    out, err = printed(f"recertify {runs['ssn'][:12]} --certificate lee,box --n 100,1000 --alpha 0.001", capfd)
    assert out.count("box · declared") == out.count("box · exploratory") == out.count("lee · exploratory") == 1
    assert err.startswith("3 curves stored, 1 already in the store")
    titles = [row["title"] for row in printed_json("leaderboard --all", capfd)["groups"][0]["rows"]]
    assert sorted(titles) == ["DSSN", "SSN", "SSN (box)", "Uniform"]
    assert [len(group["rows"]) for group in printed_json("leaderboard --all --exploratory", capfd)["groups"]] == [4, 2]
    shown = printed(f"show {runs['ssn'][:12]}", capfd)[0]
    assert re.search("^arithmetic +noise in float32; fp32", shown, re.MULTILINE)
    assert "box · n 100 · α 0.001 · one-versus-rest · exploratory" in shown


def test_recertify_without_runs_takes_those_that_can(runs: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    out, err = printed("recertify --certificate box --alpha 0.01", capfd)
    assert out.count("box · exploratory") == 2
    assert f"skipped: box does not hold for the deterministic-splitting noise of run {runs['dssn'][:12]}" in err
    curves = printed_json("recertify --method ssn --alpha 0.02 --declared protocol-7 --radius 0.25", capfd)["curves"]
    assert [(curve["run"], curve["standing"]) for curve in curves] == [(runs["ssn"], "stated-afterwards")]
    assert 0.0 < curves[0]["certified_accuracy"][0]["value"] <= 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{ssn}", "nothing to recompute, because these are"),
        ("{ssn} --certificate nope", "unknown certificate 'nope': choose from cohen"),
        ("{ssn} --certificate cohen", "cohen does not hold for the splitting noise"),
        ("{ssn} --n 37", "has no votes at n = 37: choose from 100, 1000"),
        ("{ssn} --n few", "--n few: give whole numbers"),
        ("{ssn} --alpha 2", "--alpha 2: give numbers between 0 and 1"),
        ("{ssn} --alpha x", "--alpha x: give numbers between 0 and 1"),
        ("{ssn} --bounds both --n 100", "--bounds both: choose from one-versus-rest, top-two"),
        ("{ssn} --method ssn --n 100", "name runs, or select them"),
        ("{ssn} --n 100 --radius far", "'far' is not a radius"),
        ("0000 --n 100", "0 runs begin with"),
        ("--method cohen --n 100", "no sealed run matches"),
    ],
)
def test_recertify_refuses_in_one_line_and_stores_nothing(
    runs: dict[str, str], home: Path, arguments: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert message in refused(f"recertify {arguments.format(**runs)}", capfd)
    with Store.open_existing(str(home / "results.db")) as store:
        assert len(store.sealed_runs(exploratory=True)) == 3


def test_annotate_then_leaderboard_then_show(runs: dict[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    _, err = printed(f"annotate {runs['ssn'][:12]} --invalid --why normalised-twice --author ada", capfd)
    assert f"run {runs['ssn'][:12]} is invalid" in err
    board = printed("leaderboard", capfd)[0]
    assert f"run {runs['ssn'][:12]} (ssn, σ 0.5) is not ranked: invalid, normalised-twice (ada, 20" in board
    assert "invalid, normalised-twice" in printed(f"show {runs['ssn'][:12]}", capfd)[0]
    (annotation,) = printed_json(f"show {runs['ssn'][:12]}", capfd)["annotations"]
    assert (annotation["kind"], annotation["reason"], annotation["author"]) == ("invalid", "normalised-twice", "ada")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{ssn} --invalid", "Missing option '--why'"),
        ("{ssn} --why x", "give exactly one of --invalid"),
        ("{ssn} --why x --invalid --superseded-by {dssn}", "give exactly one of --invalid"),
        ("{ssn} --invalid --why \u2003", "--why is empty"),
        ("{ssn} --superseded-by {ssn} --why x", "is named twice"),
        ("{ssn} --reproduced-by {uniform} --why x", "image 0 has different votes"),
    ],
)
def test_annotate_refuses_in_one_line(
    runs: dict[str, str], arguments: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = arguments.format(**runs).split(" ")
    assert run(["annotate", *words]) == 2
    captured = capfd.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_check_passes_and_names_what_was_changed(
    runs: dict[str, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, err = printed("db check", capfd)
    assert out == ""
    assert err.endswith("3 sealed runs: all seals, curves and references are correct\n")
    with sqlite3.connect(home / "results.db") as connection:
        connection.execute("UPDATE image_result SET radius = 9 WHERE run_id = 1 AND image_index = 3")
    connection.close()
    assert printed_json(f"db check {runs['dssn'][:12]}", capfd)["findings"] == []
    assert run(["db", "check"]) == 4
    captured = capfd.readouterr()
    assert captured.out.startswith(f"run {runs['ssn'][:12]}: its rows or its specification changed after it was sealed")
    assert captured.err.splitlines()[-1].startswith("rsbench: 3 findings: sealed runs never change")
