"""The board as LaTeX: its structure, its numbers, and, where a pdfLaTeX is, that it compiles."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from rsbench.records import RunRecord
from rsbench.report.latex import escaped, latex_board
from rsbench.report.reported import printed_figures, reported_tables
from tests.fixtures.results import DIGITS, FASHION
from tests.report.runs import a_run, an_import, board_of

HOSTILE = replace(FASHION, name=r"50% of {my}_data\& #1 ~$x^2$ <é漢>.npz")


def several() -> list[RunRecord]:
    runs = [
        a_run([0.6, 0.7 + seed / 10], images=3, method=method, sigma=sigma, seed=seed)
        for method in ("cohen", "uniform", "ssn", "dssn")
        for sigma in (0.25, 0.5)
        for seed in (0, 1)
    ]
    return [*runs, a_run([0.2], dataset=HOSTILE, images=3), a_run([], dataset=replace(DIGITS, name="cifar10"))]


def tables(*runs: RunRecord, best: bool = True, radii: tuple[str, ...] = ("0.25", "0.5")) -> str:
    board = board_of(runs, radii, select_best=best)
    names = [group.protocol.dataset for group in board.groups]
    papers = reported_tables(printed_figures(), datasets=names, norm="l1", radii=radii)
    return latex_board(board, papers, version="0.1.0")


def check_structure(text: str) -> None:
    """Braces and environments close what they open, and every row has as many cells as its table has columns."""
    bare = re.sub(r"\\[{}%&#_$\\]", "", re.sub(r"(?<!\\)%.*", "", text))
    depth = 0
    for sign in bare:
        depth += {"{": 1, "}": -1}.get(sign, 0)
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    stack = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", text.replace(r"\def\rsbenchend{\end{document}}", "")):
        if what == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert stack == ["document"]
    tables = re.findall(r"\\begin\{tabular\}\{@\{\}l\*\{(\d+)\}\{r\}@\{\}\}(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert tables
    for numbers, body in tables:
        lines = [line for line in body.splitlines() if line.endswith(r"\\") and r"\multicolumn" not in line]
        assert len(lines) > 1
        for line in lines:
            assert len(re.findall(r"(?<!\\)&", line)) == int(numbers)


@pytest.mark.parametrize("best", [True, False])
def test_every_table_is_well_formed(best: bool) -> None:
    text = tables(*several(), best=best)
    check_structure(text)
    # Three protocols, and the papers' figures on one of the datasets.
    assert text.count(r"\begin{table}") == 4


def test_a_number_is_rounded_down_and_stands_above_its_network() -> None:
    text = tables(a_run([0.6, 0.6], images=3), a_run([0.3], images=3, method="cohen"))
    assert r"SSN & \textbf{66.6} & \textbf{66.6} & \textbf{0.399} \\" in text
    assert r"{\scriptsize 1 seed} & {\scriptsize(66.6 @ 0.5)} &" in text
    assert r"Gaussian & 33.3 & 0.0 & 0.099 \\" in text
    assert "$^*$" not in text


def test_a_selected_sigma_is_marked_and_explained() -> None:
    text = tables(a_run([0.6], sigma=0.5), a_run([0.7], sigma=1.0))
    assert "@ 0.5$^*$)" in text
    assert r"$^*$ $\sigma$ selected on the test images: exploratory." in text


def test_the_spread_over_seeds_is_explained() -> None:
    text = tables(a_run([0.6, 0.6], images=3, seed=0), a_run([0.6], images=3, seed=1))
    assert r"\textbf{50.0}\,{\scriptsize$\pm$\,23.6}" in text
    assert r"Mean $\pm$ sample standard deviation over seeds." in text


def test_the_caption_names_theorems_and_threat_models() -> None:
    text = " ".join(tables(a_run([0.6]), a_run([0.6], method="dssn")).split())
    assert r"at $\ell_1$ radius $r$" in text
    assert r"digits, first 4 images; \texttt{d1d1d1d1d1d1}" in text
    assert r"the grid $\{k/q\}^d$ in $[0,1]^d$ (DSSN)" in text
    assert r"n0 100 $\cdot$ n 1,000 $\cdot$ $\alpha$ 0.001 (SSN)" in text
    assert "Ball: " in text
    assert "closed (DSSN)" in text
    assert "rsbench 0.1.0." in text


def test_the_notes_of_an_import_are_in_the_caption() -> None:
    run = replace(an_import([0.6]), notes=("radii were 100% printed",))
    text = tables(run)
    assert r"SSN: imported (radii only); radii were 100\% printed." in text
    assert "{\\scriptsize } &" in text
    assert f"run {run.fingerprint[:12]}" in tables(run, best=False)


def test_figures_of_papers_are_in_a_table_of_their_own() -> None:
    cifar = replace(DIGITS, name="cifar10")
    text = tables(a_run([0.6], dataset=cifar))
    measured, reported = text.split(r"\begin{table}")[1:]
    assert "Levine" in reported
    assert r"\textit{Levine \& Feizi 2021, table 1}" in reported
    assert r"dssn$^*$ & -- & -- & 72.2 & -- \\" in reported
    assert r"{\scriptsize(81.5 @ 0.75)}" in reported
    assert "not ranked and not averaged" in reported
    assert r"\textbf" not in reported
    assert "dssn" not in measured


def test_text_is_printed_as_it_is() -> None:
    assert escaped("a_b & 5% {x} #1 $2") == r"a\_b \& 5\% \{x\} \#1 \$2"
    assert escaped("\\~^é") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}{[}U+00E9{]}"
    assert escaped("σ of R^d") == r"$\sigma$ of $\mathbf{R}^d$"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdfLaTeX on this machine: install texlive")
def test_it_compiles_alone_and_within_a_paper(tmp_path: Path) -> None:
    (tmp_path / "board.tex").write_text(tables(*several()), encoding="utf-8")
    signs = escaped("".join(map(chr, range(32, 127))) + "σαλ±−·≤≥√×½–…‡é\n")
    (tmp_path / "paper.tex").write_text(
        rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{signs}\input{{board}}\end{{document}}"
    )
    for name in ("board", "paper"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", f"{name}.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / f"{name}.pdf").stat().st_size > 10_000
    log = (tmp_path / "board.log").read_text(errors="replace")
    assert "Overfull" not in log
