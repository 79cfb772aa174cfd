"""What a user sees of a run at work: its progress, and who is at work on it."""

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from rsbench.cli import progress
from rsbench.cli.main import run
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, write_run


def test_without_a_terminal_progress_is_lines_with_speed_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The clock is set by hand: 25 images in 5 seconds, then 25 in 0.1."""
    seconds = iter([0.0, 5.0, 5.1, 12.5])
    monkeypatch.setattr(progress, "monotonic", lambda: next(seconds))
    line = progress.ProgressLine()
    line.begin("certifying", 100, "images")
    line.advance(25, "ssn: 4.0 % abstained")
    line.advance(25, "ssn: 2.0 % abstained")
    line.end()
    assert capfd.readouterr().err.splitlines() == [
        "certifying: 100 images",
        "certifying: 25/100 images, ETA 15 s, 5 images/s, ssn: 4.0 % abstained",
        "certifying: 50 of 100 images in 12.5 s",
    ]


def test_the_bar_and_its_details_fit_into_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = StringIO()
    monkeypatch.setattr(progress, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=80))
    line = progress.ProgressLine()
    line.begin("certifying", 1_000_000, "images")
    detail = "dssn sigma 0.5 seed 0: 0.0 % abstained, certified 40.0 % at 0.25, 20.0 % at 0.5, 0.0 % at 1"
    line.advance(500_000, detail)
    line.end()
    lines = Text.from_ansi(screen.getvalue()).plain.splitlines()
    assert max(map(len, lines)) <= 80
    shown = " ".join(" ".join(lines).split())
    assert "500000/1000000 images" in shown
    assert detail in shown


def test_show_says_whether_somebody_is_at_work(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    database = str(tmp_path / "results.db")
    with Store.create_or_open(database) as store:
        spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:50:1", count=50, sealed=False)
        show = ["show", spec.fingerprint(), "--db", database]
        assert run(show) == 0
        told = capfd.readouterr().out
        assert f"open: 25 of 50 images; process {os.getpid()} on " in told
        assert run([*show, "--json"]) == 0
        claim = json.loads(capfd.readouterr().out)["claim"]
        assert (claim["process"], sorted(claim)) == (os.getpid(), ["host", "process", "since"])
    assert run(show) == 0
    assert "open: 25 of 50 images; no process works on it" in capfd.readouterr().out
    assert run([*show, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["claim"] is None
