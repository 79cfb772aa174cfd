"""A store with runs of a certificate that this installation does not know, as without the plugin that adds it."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from rsbench.cli.main import run
from tests.fixtures.board import write_unknown_certificate
from tests.fixtures.commands import refused

MESSAGE = "certificate 'of-a-plugin' is not known here: install the package that adds it, or load its plugin with"


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The run whose certificate is not known, and the one whose own certificate is."""
    monkeypatch.setenv("RSBENCH_DB", str(tmp_path / "results.db"))
    monkeypatch.chdir(tmp_path)
    return write_unknown_certificate(tmp_path / "results.db")


def printed(arguments: str, capfd: pytest.CaptureFixture[str]) -> str:
    assert run(arguments.split()) == 0
    return capfd.readouterr().out


def test_the_board_names_it_and_ranks_the_others(runs: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    unknown, known = runs
    board = printed("leaderboard --all", capfd)
    assert f"run {unknown[:12]} (ssn, σ 0.5) is not ranked: {MESSAGE}" in board
    assert f"run {known[:12]} (ssn, σ 1) is not ranked: {MESSAGE}" in board
    document = json.loads(printed("leaderboard --json", capfd))
    assert [row["clean_accuracy"]["runs"] for row in document["groups"][0]["rows"]] == [[known]]
    assert len(document["excluded_from_ranking"]) == 2
    assert printed("leaderboard --csv", capfd).count("\n") == 1 + 3


def test_show_prints_everything_else(runs: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    unknown, known = runs
    text = printed(f"show {unknown[:12]} --images", capfd)
    assert re.search("^certificate +'of-a-plugin' is not known here: install the package", text, re.MULTILINE)
    assert "of-a-plugin · n 1,000 · α 0.001" in text
    assert "mean radius" in text
    document = json.loads(printed(f"show {unknown[:12]} --images --json", capfd))
    assert document["certificate"] == {"name": "of-a-plugin", "known": False}
    assert len(document["results"]) == 445
    assert "of-a-plugin · n 1,000" in printed(f"show {known[:12]}", capfd)


def test_exports_hold_the_others(runs: tuple[str, str], capfd: pytest.CaptureFixture[str]) -> None:
    unknown, known = runs
    for name in ("board.html", "board.tex", "board.csv"):
        printed(f"export board --to {name}", capfd)
    page = Path("board.html").read_text(encoding="utf-8")
    assert f"run {unknown[:12]} (ssn, σ 0.5) is not ranked" in page
    assert known in page
    printed("export curves --to curves.csv", capfd)
    assert set(pd.read_csv("curves.csv")["certificate"]) == {"lee"}
    printed(f"export images {unknown[:12]} {known[:12]} --to images.csv", capfd)
    assert Path("images.csv").read_text(encoding="utf-8").count("\n") == 1 + 2 * 445
    assert MESSAGE in refused(f"export tsv {unknown[:12]} --to run.tsv", capfd)


def test_what_needs_the_certificate_is_refused_in_one_line(
    runs: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    unknown, known = runs
    assert MESSAGE in refused(f"compare {unknown[:12]} {known[:12]}", capfd)
    assert "certificate 'of-a-plugin' is not known here" in refused(f"recertify {unknown[:12]} --n 100", capfd)


def test_its_votes_can_be_recertified_under_another_certificate(
    runs: tuple[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    unknown, _ = runs
    assert "lee · declared" in printed(f"recertify {unknown[:12]} --certificate lee", capfd)
    document = json.loads(printed("leaderboard --json --all", capfd))
    assert [row["clean_accuracy"]["runs"] for row in document["groups"][0]["rows"]].count([unknown]) == 1
