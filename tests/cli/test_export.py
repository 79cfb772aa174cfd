"""Results as files, through the program."""

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint
from rsbench.report.curves import curve_frame
from rsbench.report.leaderboard import leaderboard, leaderboard_frame
from rsbench.report.runs import open_report
from rsbench.store.store import Store
from tests.fixtures.commands import refused
from tests.fixtures.results import DIGITS, FASHION, counts_at, write_run
from tests.fixtures.trained import store_with


@pytest.fixture
def results(home: Path) -> str:
    """A home with sealed runs of three methods, one on other data, and one that is not finished."""
    location = str(home / "results.db")
    with Store.create_or_open(location) as store:
        for method in ("cohen", "ssn", "dssn"):
            for seed in (0, 1):
                write_run(store, DIGITS, method, 0.5, seed, images="0:60:1", count=60)
        write_run(store, DIGITS, "ssn", 1.0, 0, images="0:60:1", count=60)
        write_run(store, FASHION, "ssn", 0.5, 0, images="0:1901:100", count=20)
        write_run(store, DIGITS, "ssn", 2.0, 0, images="0:60:1", count=60, sealed=False)
    return location


def fingerprints(location: str, method: str) -> list[str]:
    with Store.open_existing(location) as store:
        return [run.fingerprint for run in store.sealed_runs("digits") if run.method == method]


def exported(arguments: str, capfd: pytest.CaptureFixture[str]) -> str:
    """Run a command that succeeds, and return what it prints on stderr. It prints no data on stdout."""
    assert run(f"export {arguments}".split()) == 0
    captured = capfd.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_images_are_the_rows_of_the_store(results: str, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    first, second = fingerprints(results, "cohen")
    assert (
        exported(f"images {first[:8]} {second} {first} --to out.{suffix}", capfd)
        == f"out.{suffix}: 120 images of 2 runs\n"
    )
    frame = pd.read_csv("out.csv") if suffix == "csv" else pd.read_parquet("out.parquet")
    with Store.open_existing(results) as store:
        columns = store.image_columns(store.run(second).id)
    part = frame[frame["run"] == second]
    assert part["index"].tolist() == columns.index_N.tolist()
    assert part["radius"].tolist() == columns.radius_N.tolist()
    assert part["predicted"].fillna(-1).tolist() == columns.predicted_N.tolist()
    assert part["predicted"].isna().any()


def test_the_board_and_the_curves_are_their_frames(results: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert exported("board --to b.parquet --radius 0.25,0.5 --dataset digits", capfd) == "b.parquet: 3 rows\n"
    report = open_report(results)
    runs, radii = [run for run in report.sealed if run.dataset.name == "digits"], ["0.25", "0.5"]
    board = leaderboard(runs, report.certified_counts(runs, radii), norm="l1", radii=radii, incomplete=1)
    pd.testing.assert_frame_equal(pd.read_parquet("b.parquet"), leaderboard_frame(board), check_dtype=False)

    assert "of 2 curves" in exported("curves --to c.parquet --method cohen --sigma 0.5", capfd)
    chosen = [run for run in runs if run.method == "cohen"]
    wanted = curve_frame(chosen, "l1", report.step_curves(chosen))
    pd.testing.assert_frame_equal(pd.read_parquet("c.parquet"), wanted, check_dtype=False)
    exported("curves --to c.csv --seed 1 --dataset digits", capfd)
    assert set(pd.read_csv("c.csv")["seeds"]) == {1}


def test_every_run_has_its_row_where_asked_for(results: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert exported("board --to b.csv --all --radius 0.5", capfd) == "b.csv: 8 rows\n"
    assert len(pd.read_csv("b.csv")) == 8


def test_a_page_and_latex_carry_the_board_and_the_papers(results: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "reported"]) == 0
    assert "356 of 356 figures imported" in capfd.readouterr().err
    exported("board --to board.html --radius 0.5", capfd)
    page = Path("board.html").read_text(encoding="utf-8")
    data = json.loads(re.findall(r'id="board">(.*?)</script>', page)[0])
    assert len(data["runs"]) == 8
    assert page.count("<pre>") == 8
    assert page.count("<svg") == 2
    assert "1 run begun and not finished" in page
    # No paper speaks of the digits or of Fashion-MNIST.
    assert data["reported"] == []
    exported("board --to board.tex --radius 0.5", capfd)
    latex = Path("board.tex").read_text(encoding="utf-8")
    assert latex.count(r"\begin{table}") == 2
    assert "DSSN" in latex


def test_the_papers_figures_come_once(results: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert "run rsbench import reported first" in refused("export reported --to r.csv", capfd)
    for new in (356, 0):
        assert run(["import", "reported", "--json"]) == 0
        assert json.loads(capfd.readouterr().out) == {"schema": 1, "figures": 356, "new": new}
    assert exported("reported --to r.csv --dataset imagenet", capfd).startswith("r.csv: ")
    assert set(pd.read_csv("r.csv")["dataset"]) == {"imagenet"}


def test_the_board_shows_the_papers_of_its_data_sets(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.create_or_open(str(home / "results.db")) as store:
        cifar = replace(FASHION, name="cifar10", fingerprint="c1" * 32)
        write_run(store, cifar, "ssn", 0.5, 0, images="0:1901:100", count=20)
    assert run(["import", "reported"]) == 0
    capfd.readouterr()
    assert run(["leaderboard", "--radius", "0.5"]) == 0
    text = capfd.readouterr().out
    assert (
        text.index("SSN") < text.index("Reported in papers: cifar10, l1") < text.index("Levine & Feizi 2021, table 1")
    )
    assert run(["leaderboard", "--radius", "0.5", "--json"]) == 0
    board = json.loads(capfd.readouterr().out)
    assert [table["dataset"] for table in board["reported"]] == ["cifar10"]
    assert [row["method"] for row in board["groups"][0]["rows"]] == ["ssn"]
    exported("board --to b.html --radius 0.5", capfd)
    assert "Reported in papers: cifar10, l1" in Path("b.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_a_figure_has_a_panel_for_each_choice_of_images(
    results: str, suffix: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exported(f"figure --to f.{suffix} --method ssn,dssn", capfd) == f"f.{suffix}: 6 curves in 2 panels\n"
    assert Path(f"f.{suffix}").read_bytes()[:4] in (b"<svg", b"%PDF", b"\x89PNG")


def test_a_run_for_old_scripts(results: str, capfd: pytest.CaptureFixture[str]) -> None:
    [first, _] = fingerprints(results, "cohen")
    assert exported(f"tsv {first} --to sigma_0.50", capfd) == "sigma_0.50: 60 images\n"
    frame = pd.read_csv("sigma_0.50", delimiter="\t")
    assert list(frame.columns) == ["idx", "label", "predict", "radius", "correct", "time"]
    with Store.open_existing(results) as store:
        record = store.run(first)
        columns = store.image_columns(record.id)
        assert record.curve is not None
        counts = counts_at(store, [record], 0.5)
    assert (frame["radius"].to_numpy() <= columns.radius_N).all()
    assert frame["predict"].tolist() == columns.predicted_N.tolist()
    # The scripts compute what the board shows, except for images whose radius is within a thousandth of the chosen one.
    scripts = int((frame["correct"] & (frame["radius"] >= 0.5)).sum())
    near = int(np.sum(np.abs(columns.radius_N - 0.5) <= 0.001))
    certified = counts.count(record.curve.id, 0.5, "open")
    assert certified - near <= scripts <= certified


def test_the_command_on_the_page_finds_its_run_again(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint], capfd: pytest.CaptureFixture[str]
) -> None:
    store_with(home, digits, trained["ssn"], trained["dssn"]).close()
    for images, method in (("every:20", "ssn"), ("first:30", "dssn")):
        command = f"certify --dataset digits --method {method} --images {images} --n0 64 --n 250 --workers 0"
        assert run(command.split()) == 0
    capfd.readouterr()
    exported("board --to b.html --all", capfd)
    data = json.loads(re.findall(r'id="board">(.*?)</script>', Path("b.html").read_text(encoding="utf-8"))[0])
    lines = [line for made in data["runs"] for line in made["commands"]]
    assert len(lines) == 2
    for line in lines:
        assert run([*shlex.split(line)[1:], "--workers", "0"]) == 0
        assert "nothing is missing: 1 run sealed before" in capfd.readouterr().err


def test_a_file_is_replaced_only_by_force(results: str, capfd: pytest.CaptureFixture[str]) -> None:
    Path("b.csv").write_text("mine")
    assert "b.csv: this file exists: name another, or replace it with --force" in refused(
        "export board --to b.csv", capfd
    )
    assert Path("b.csv").read_text() == "mine"
    exported("board --to b.csv --force", capfd)
    assert Path("b.csv").read_text().startswith("group,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "board --to b.txt",
            "--to b.txt: the suffix '.txt' is not a known format: choose .html or .tex or .parquet or .csv",
        ),
        ("figure --to f.jpg", "--to f.jpg: the suffix '.jpg' is not a known format: choose .svg or .pdf or .png"),
        ("curves --to curves", "--to curves: the file has no suffix: choose .parquet or .csv"),
        ("board --to no/b.csv", "--to no/b.csv: the folder no does not exist: create it first"),
        ("board --to b.csv --norm l7", "--norm l7: choose from l1, l2"),
        ("board --to b.csv --radius x", "'x' is not a radius"),
        ("board --to b.csv --dataset mnist", "no sealed run on 'mnist': there are runs on digits, fashion-mnist"),
        ("figure --to f.svg --method macer", "--method macer: there are runs of cohen, ssn, dssn"),
        ("figure --to f.svg --sigma 0.7", "no sealed run with a certificate for l1 matches"),
        ("curves --to c.csv --norm l2 --method ssn", "no sealed run with a certificate for l2 matches"),
        ("curves --to c.csv --sigma half", "--sigma half: this is not a number"),
        ("curves --to c.csv --seed x", "--seed x: give whole numbers"),
        ("images zzzz --to i.csv", "'zzzz' is not a run"),
        ("images", "Missing argument 'RUN...'"),
        ("tsv 0000000000000000 --to t.tsv", "0 runs begin with"),
        ("board --to b.csv --db no.db", "no results yet at"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    results: str, arguments: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(Path.cwd().iterdir())
    assert message in refused(f"export {arguments}", capfd)
    assert sorted(Path.cwd().iterdir()) == before


def test_an_open_run_is_refused(results: str, capfd: pytest.CaptureFixture[str]) -> None:
    with Store.open_existing(results) as store:
        (run_left,) = store.incomplete_runs()
    for command in (f"images {run_left.fingerprint} --to i.csv", f"tsv {run_left.fingerprint} --to t.tsv"):
        assert "is not sealed" in refused(f"export {command}", capfd)
