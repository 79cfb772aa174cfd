"""The board as one HTML file: what stands in it, and that nothing in it can be mistaken for markup."""

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import Any

from rsbench.records import Annotation, RunRecord
from rsbench.report.commands import command_of
from rsbench.report.leaderboard import leaderboard_json
from rsbench.report.reported import printed_figures, reported_tables
from rsbench.report.static_board import static_board
from tests.fixtures.results import DIGITS, PROVENANCE
from tests.report.runs import STEPS, a_run, board_of

CIFAR = replace(DIGITS, name="cifar10", fingerprint="c1" * 32)
_VOID = {"meta", "br", "hr", "img", "input", "link"}


class Outline(HTMLParser):
    """Checks that elements close what they open, and collects their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(*runs: RunRecord, best: bool = True, incomplete: int = 0) -> str:
    board = board_of(runs, ("0.25", "0.5"), incomplete=incomplete, select_best=best)
    names = [group.protocol.dataset for group in board.groups]
    papers = reported_tables(printed_figures(), datasets=names, norm="l1", radii=board.radii)
    provenances = {run.fingerprint: (PROVENANCE,) for run in runs}
    return static_board(board, runs, STEPS, provenances, papers, version="0.1.0")


def several() -> list[RunRecord]:
    runs = [
        a_run([0.3, 0.6], method=m, sigma=s, seed=seed) for m in ("ssn", "dssn") for s in (0.5, 1.0) for seed in (0, 1)
    ]
    return [*runs, a_run([0.3], dataset=CIFAR), a_run([0.3], dataset=CIFAR, method="cohen", chosen="0:3:1", images=3)]


def embedded(text: str) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="board">(.*?)</script>', text, re.DOTALL)
    assert match
    data: dict[str, Any] = json.loads(match[1])
    return data


def test_it_is_well_formed_and_requests_nothing() -> None:
    text = page(*several())
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert not [value for name, value in outline.attributes if name in ("src", "srcset", "action", "data")]
    assert all(value and value.startswith("#") for name, value in outline.attributes if name == "href")
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))
    assert "default-src 'none'" in text
    ids = [value for name, value in outline.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert {value[1:] for name, value in outline.attributes if name == "href" and value} <= set(ids)


def test_the_same_board_is_the_same_bytes() -> None:
    runs = several()
    assert page(*runs) == page(*runs)


def test_every_run_stands_with_its_hashes_and_its_command() -> None:
    runs = several()
    text = page(*runs)
    for run in runs:
        assert run.fingerprint in text
        assert str(run.seal) in text
        assert str(run.checkpoint_sha256) in text
        assert run.dataset.fingerprint in text
    shown = [re.sub(r"<[^>]*>", "", unescape(code)) for code in re.findall(r"<pre><code>(.*?)</code></pre>", text)]
    assert sorted(shown) == sorted(command_of(run).line for run in runs)
    assert "rsbench 0.1.0, git 000000000000, on cpu" in text


def test_the_data_in_it_are_the_board() -> None:
    runs = several()
    data = embedded(page(*runs))
    board = board_of(runs, ("0.25", "0.5"))
    assert data["board"] == json.loads(json.dumps(leaderboard_json(board)))
    assert {run["run"] for run in data["runs"]} == {run.fingerprint for run in runs}
    assert [table["dataset"] for table in data["reported"]] == ["cifar10"]


def test_numbers_are_rounded_down_and_say_their_sigma() -> None:
    text = page(a_run([0.6, 0.6], images=3), a_run([0.6], images=3, sigma=1.0))
    assert "<b>66.6</b>" in text
    assert re.search(r"σ 0\.5</a> \*</small>", text)
    assert "* σ selected on the test images: exploratory." in text
    assert "selected" not in re.sub(r"<script.*", "", page(a_run([0.6])), flags=re.DOTALL)


def test_the_papers_stand_once_below_the_last_group_of_their_dataset() -> None:
    text = page(*several())
    assert text.count("Reported in papers: cifar10, l1") == 1
    groups = text.split("<section>")[1:]
    assert ["Levine" in group.split('class="reported"')[-1] for group in groups[:3]] == [False, True, False]


def test_annotations_of_a_run_are_shown() -> None:
    reason, date = "the <b>labels</b> were shuffled", "2026-01-02T00:00:00+00:00"
    annotation = Annotation("superseded", "b" * 64, reason, "ann", date)
    alone = replace(a_run([0.3]), annotations=(annotation,), notes=("read & checked",))
    text = page(alone)
    assert "is not ranked: superseded" in text
    assert "<table" not in text
    assert command_of(alone).line.split()[-1] in text
    assert "superseded by bbbbbbbbbbbb, the &lt;b&gt;labels&lt;/b&gt; were shuffled (ann, 2026-01-02)" in text
    assert "read &amp; checked" in text


def test_a_curve_that_was_added_stands_with_its_own_command() -> None:
    run = a_run([0.3, 0.6])
    assert run.curve is not None
    added = replace(run.curve, certificate="box", is_primary=False, standing="exploratory")
    text = page(run, replace(run, curve=added))
    assert text.count('<article class="run"') == 1
    assert "exploratory: chosen after a result was seen</strong>" in text
    assert embedded(text)["runs"][0]["commands"][1].startswith(f"rsbench recertify {run.fingerprint} --certificate box")
    assert text.count("<pre>") == 2


def test_names_are_escaped() -> None:
    hostile = "</script><script>alert(1)</script><svg onload=x>&\"'"
    text = page(a_run([0.3], dataset=replace(DIGITS, name=hostile)), a_run([0.3], method="ssn", seed=1))
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert text.count("<script") == 1
    assert embedded(text)["board"]["groups"][0]["dataset"] == hostile


def test_every_run_in_a_row_of_its_own() -> None:
    text = page(*several(), best=False)
    assert "seed 1" in text
    assert "σ selected on the test images" not in text


def test_incomplete_runs_are_mentioned() -> None:
    assert "2 runs begun and not finished: not shown." in page(a_run([0.3]), incomplete=2)
    assert "No sealed run with a certificate for l1." in page()
