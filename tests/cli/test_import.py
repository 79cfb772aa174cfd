"""`rsbench import`, as typed."""

import json
from pathlib import Path
from typing import Any

import pytest

from rsbench.cli.main import run
from tests.fixtures.commands import refused
from tests.foreign.sample_files import sampled_radius, write_radii, write_table
from tests.foreign.test_npz_runs import votes_file


def printed(arguments: str, capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """What a command that succeeds prints on stdout and stderr."""
    capfd.readouterr()
    assert run(arguments.split()) == 0
    told = capfd.readouterr()
    return told.out, told.err


def printed_json(arguments: str, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(printed(f"{arguments} --json", capfd)[0])
    assert document["schema"] == 1
    return document


def write_tree(folder: Path) -> Path:
    """Two runs whose largest radius is that of a unanimous image, an empty file, and a file that is no table."""
    for sigma in (0.25, 0.5):
        radii = [f"{sampled_radius('cohen', k, 100_000, 0.001, sigma):.3}" for k in (80_000, 100_000)]
        write_radii(folder / f"sigma_{sigma}", radii)
    (folder / "sigma_1.0").touch()
    (folder / "README").write_text("These are results.\n")
    return folder


def test_published_results_stand_on_the_board(
    shared_data: Path, database: str, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = f"import tsv {shared_data}/published --dataset cifar10 --n0 100 --db {database}"
    out, err = printed(command, capfd)
    assert [line.split()[1:7] for line in out.splitlines()[1:]] == [
        ["new", "0.12", "100,000", "0.001", "10,000", "8,317"],
        ["new", "0.25", "100,000", "0.001", "10,000", "7,665"],
        ["new", "0.5", "100,000", "0.001", "10,000", "6,568"],
        ["new", "1", "100,000", "0.001", "10,000", "4,715"],
    ]
    assert "note: radii were printed with 3 significant digits" in err
    assert "note: n = 100,000, α = 0.001: inferred from the largest radii" in err
    assert err.endswith("4 runs with 40,000 images imported; see rsbench leaderboard --dataset cifar10 --norm l2\n")
    board = printed_json(f"leaderboard --dataset cifar10 --norm l2 --radius 0.5 --all --db {database}", capfd)
    assert [len(group["rows"]) for group in board["groups"]] == [4]
    out, err = printed(command, capfd)
    assert out.count("known") == 4
    assert err.endswith("nothing new: all 4 runs were imported before\n")


def test_json_says_it_all(home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree = write_tree(tmp_path / "tree")
    found = printed_json(f"import tsv {tree} --dataset cifar10", capfd)
    assert [entry["spec"]["sigma"] for entry in found["runs"]] == [0.25, 0.5]
    assert all(entry["new"] and entry["images"] == 2 and entry["correct"] == 2 for entry in found["runs"])
    assert found["runs"][0]["source"] == f"{tree.name}/sigma_0.25"
    assert found["empty"] == [str(tree / "sigma_1.0")]
    assert found["passed_over"] == [str(tree / "README")]
    assert found["warnings"] == []
    assert printed_json(f"show {found['runs'][0]['run'][:12]}", capfd)["tier"] == "imported-radii"


def test_skipped_files_and_contradictions_are_told(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = write_tree(tmp_path / "tree")
    _, err = printed(f"import tsv {tree} --dataset cifar10 --n 1000 --alpha 0.001", capfd)
    assert f"skipped, no rows: {tree}/sigma_1.0\n" in err
    assert f"skipped, not a table: {tree}/README\n" in err
    assert f"warning: {tree}/sigma_0.25: the largest radius, 0.953, is above 0.615" in err


def test_a_dry_run_stores_nothing(home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = printed(f"import tsv {write_tree(tmp_path / 'tree')} --dataset cifar10 --dry-run", capfd)
    assert out.count("new") == 2
    assert err.endswith("dry run: 2 runs with 4 images would be imported\n")
    assert not home.exists()


def test_votes_are_imported(database: str, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = votes_file(tmp_path)
    found = printed_json(f"import npz {tmp_path} --dataset cifar10 --db {database}", capfd)
    [entry] = found["runs"]
    assert entry["source"] == f"{file.parent.name}/{file.name}"
    assert (entry["images"], entry["spec"]["n_estimate"]) == (4, 1000)
    shown = printed_json(f"show {entry['run'][:12]} --images --db {database}", capfd)
    assert shown["tier"] == "imported-votes"
    assert sum(shown["results"][0]["votes"][-1]) == 1000
    assert printed(f"import npz {file} --dataset cifar10 --db {database}", capfd)[1].endswith(
        "nothing new: the run was imported before\n"
    )


def test_another_method_and_data_set_are_described(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    radii = [f"{sampled_radius('lee', 100_000, 100_000, 0.0005, 0.5):.17}"]
    file = write_radii(tmp_path / "sigma_0.5", radii)
    found = printed_json(
        f"import tsv {file} --dataset mine --classes 7 --shape 1,28,28 --q 255 --method ours --certificate lee "
        "--measure splitting",
        capfd,
    )
    [entry] = found["runs"]
    assert (entry["spec"]["method"], entry["spec"]["family"]) == ("ours", "splitting")
    assert (entry["spec"]["n_estimate"], entry["spec"]["failure_probability"]) == (100_000, 0.0005)


def test_the_environment_speaks_for_flags(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    file = write_radii(tmp_path / "table", ["0.3"])
    for name, value in (("DATASET", "cifar10"), ("SIGMA", "0.25"), ("N", "1000"), ("ALPHA", "0.01"), ("N0", "64")):
        monkeypatch.setenv(f"RSBENCH_{name}", value)
    [entry] = printed_json(f"import tsv {file}", capfd)["runs"]
    spec = entry["spec"]
    assert (spec["sigma"], spec["n_estimate"], spec["failure_probability"], spec["n_select"]) == (0.25, 1000, 0.01, 64)
    [entry] = printed_json(f"import tsv {file} --n 2000 --dry-run", capfd)["runs"]
    assert entry["spec"]["n_estimate"] == 2000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("tsv tree", "--dataset is missing: choose from cifar10"),
        ("tsv nowhere --dataset cifar10", "nowhere: no such file or folder"),
        ("tsv tree --dataset cifar", "--dataset cifar is none of cifar10"),
        ("tsv tree --dataset mine --classes 10 --shape 3,32", "--shape 3,32: give channels, height and width"),
        ("tsv tree --dataset cifar10 --method smoothadv", "name the theorem behind its radii with --certificate"),
        ("tsv tree --dataset cifar10 --method ours --certificate lee", "name the one that was used with --measure"),
        ("tsv tree --dataset cifar10 --method ours --certificate lee --measure noise", "--measure noise: choose from"),
        ("tsv tree --dataset cifar10 --sigma 0.25", "sigma_0.5: σ is 0.25 by --sigma, 0.5 by its path"),
        ("tsv tree --dataset cifar10 --alpha 2", "--alpha 2: give a number between 0 and 1"),
        ("tsv tree --dataset imagenet --q 16", "--q 16: imagenet has 255"),
        ("tsv cut --dataset cifar10", "cut/sigma_0.25: line 3 has 3 of 6 fields, '1 1 1': it is cut off"),
        ("npz tree --dataset cifar10", "tree: no .npz file"),
        ("npz tree --dataset cifar10 --method dssn --alpha 0.01", "certificate dssn draws no votes"),
        ("tsv", "Missing argument 'PATH...'"),
    ],
)
def test_bad_input_is_one_line_and_stores_nothing(
    arguments: str, message: str, home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_tree(tmp_path / "tree")
    write_table(tmp_path / "cut" / "sigma_0.25", ["0\t1\t1\t0.2\t1\tt", "1\t1\t1"])
    assert message in refused(f"import {arguments}", capfd)
    assert not home.exists()
