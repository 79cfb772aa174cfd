"""The trip that a user makes, command by command."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

import rsbench
from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.checkpoints import save_checkpoint
from rsbench.models.checkpoint import Checkpoint
from tests.fixtures.trained import store_with

CERTIFY = "certify --dataset digits --images first:60 --n0 64 --n 250 --workers 0"


@pytest.fixture
def known(home: Path, digits: ImageDataset, trained: dict[str, Checkpoint]) -> Path:
    """A home whose store knows a checkpoint of each method."""
    store_with(home, digits, *trained.values()).close()
    return home


def printed(arguments: str, capfd: pytest.CaptureFixture[str]) -> str:
    """What a command that succeeds prints on stdout."""
    capfd.readouterr()
    assert run(arguments.split()) == 0
    return capfd.readouterr().out


def printed_json(arguments: str, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(printed(f"{arguments} --json", capfd))
    assert document["schema"] == 1
    return document


def test_certify_then_leaderboard_then_show(known: Path, capfd: pytest.CaptureFixture[str]) -> None:
    certified = printed_json(CERTIFY, capfd)
    assert {(r["method"], r["new_images"]) for r in certified["runs"]} == {
        ("cohen", 60),
        ("uniform", 60),
        ("ssn", 60),
        ("dssn", 60),
    }

    text = printed("leaderboard --dataset digits --norm l1 --radius 0.25,0.5", capfd)
    assert all(title in text for title in ("Gaussian", "Uniform", "SSN", "DSSN", "first 60 images", "r = 0.25"))
    board = printed_json("leaderboard --radius 0.25,0.5", capfd)
    assert len(board["groups"][0]["rows"]) == 4
    everything = printed_json("leaderboard --radius 0.25 --all", capfd)
    assert len(everything["groups"][0]["rows"]) == 4
    lines = list(csv.DictReader(io.StringIO(printed("leaderboard --radius 0.25,0.5 --csv", capfd))))
    assert len(lines) == 8
    l2 = printed_json("leaderboard --norm l2 --radius 0.25", capfd)
    assert [row["method"] for row in l2["groups"][0]["rows"]] == ["cohen"]

    fingerprint = certified["runs"][0]["run"]
    shown = printed_json(f"show {fingerprint[:12]} --images", capfd)
    assert shown["state"] == "sealed"
    [provenance] = shown["provenances"]
    assert provenance["rsbench_version"] == rsbench.__version__
    assert provenance["versions"]["torch"]
    assert [row["index"] for row in shown["results"]] == list(range(60))
    assert all(sum(row["votes"][-1]) == 250 for row in shown["results"])
    assert (shown["checkpoint"]["architecture"], shown["checkpoint"]["mean"]) == ("mlp", [0.3049])
    for_people = printed(f"show {fingerprint[:8]} --images", capfd)
    assert fingerprint in for_people
    assert re.search(r"architecture +mlp *\n *normalisation +0\.3049/0\.3758 *\n", for_people)


def test_the_same_trip_on_postgresql(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint], postgresql: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = save_checkpoint(trained["ssn"], home)
    database = ["--db", postgresql]
    assert run([*CERTIFY.split(), "--checkpoint", str(file), *database]) == 0
    assert run([*CERTIFY.split(), "--checkpoint", str(file), *database]) == 0
    assert "nothing is missing: 1 run sealed before" in capfd.readouterr().err
    assert run(["leaderboard", "--json", *database]) == 0
    [row] = json.loads(capfd.readouterr().out)["groups"][0]["rows"]
    fingerprint = row["clean_accuracy"]["runs"][0]
    assert run(["show", fingerprint, "--images", "--json", *database]) == 0
    assert len(json.loads(capfd.readouterr().out)["results"]) == 60
    assert run(["db", "current", *database]) == 0
    assert capfd.readouterr().out.startswith("postgresql://postgres@/rsbench_")
    assert not (home / "results.db").exists()


def test_the_same_command_again_says_that_nothing_is_missing(known: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = f"{CERTIFY} --method ssn"
    assert run(command.split()) == 0
    assert "60 images certified, 1 run sealed" in capfd.readouterr().err
    assert run(command.split()) == 0
    assert "nothing is missing: 1 run sealed before" in capfd.readouterr().err


def test_a_dry_run_counts_and_writes_nothing(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command = "sweep --method ssn,dssn --sigma 0.5 --seed 0,1 --images first:10 --device cpu --dry-run"
    estimate = printed_json(command, capfd)
    advice = "run rsbench bench --dataset digits --architecture mlp --batch-size 1024 --device cpu"
    basis = f"the speed of mlp is not known: {advice}"
    # SSN: 100 + 1000 votes an image, 11 batches a run; DSSN: L = ⌊2·√3·0.5·16⌋ = 27 bases, 1 batch.
    assert estimate == {
        "schema": 1,
        "trials": 4,
        "epochs": 120,
        "runs": 4,
        "images": 40,
        "passes": 2 * 10 * (1100 + 27),
        "batches": 2 * (11 + 1),
        "padding": 2 * (12 * 1024 - 10 * (1100 + 27)),
        "seconds": None,
        "speeds": [{"architecture": "mlp", "source": None, "passes_per_second": None, "basis": basis}],
    }
    text = printed(command, capfd)
    assert "batches                       24   (2,036 more passes fill them)\n" in text
    assert text.endswith(f"certification            unknown\n  {basis}\n")
    assert not home.exists()
    printed(f"{advice.removeprefix('run rsbench ')} --seconds 0.001", capfd)
    assert [speed["source"] for speed in printed_json(command, capfd)["speeds"]] == ["bench"]


def test_a_dry_run_estimates_time_from_what_ran_before(known: Path, capfd: pytest.CaptureFixture[str]) -> None:
    printed(f"{CERTIFY} --method ssn", capfd)
    estimate = printed_json(f"{CERTIFY} --method uniform --dry-run", capfd)
    assert (estimate["runs"], estimate["images"], estimate["passes"]) == (1, 60, 60 * 314)
    [speed] = estimate["speeds"]
    assert (speed["source"], speed["basis"]) == ("store", "mlp: the newest sealed run of it in this store")
    assert estimate["seconds"] == pytest.approx(60 * 314 / speed["passes_per_second"])
    nothing = printed_json(f"{CERTIFY} --method ssn --dry-run", capfd)
    assert (nothing["passes"], nothing["batches"], nothing["seconds"], nothing["speeds"]) == (0, 0, 0.0, [])


def test_a_dry_run_estimates_time_from_the_last_bench(known: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Also where there are finished runs: they may be of another machine, or of another time."""
    printed(f"{CERTIFY} --method ssn", capfd)
    bench = printed_json("bench --dataset digits --method ssn --n 100 --seconds 0.001 --device cpu", capfd)
    speed = bench["full_votes_per_second"] * (1.0 + bench["padding"])
    for command in ("sweep --method ssn --sigma 1 --seed 0 --images first:60 --n0 64 --n 250 --workers 0 --device cpu",
                    f"{CERTIFY} --method uniform --device cpu"):  # fmt: skip
        estimate = printed_json(f"{command} --dry-run", capfd)
        # One chunk: 18,840 votes in 18.4 batches of 1024.
        assert (estimate["batches"], estimate["padding"]) == (19, 19 * 1024 - 60 * 314)
        assert estimate["seconds"] == pytest.approx(19 * 1024 / speed)
        assert [found["source"] for found in estimate["speeds"]] == ["bench"]
    # The other noise is named, because it takes another time.
    assert "\n  mlp: rsbench bench of 20" in (text := printed(f"{CERTIFY} --method uniform --dry-run", capfd))
    assert text.endswith(", with splitting noise\n")
    [file] = (known / "bench").iterdir()
    file.write_text("{")
    assert printed_json(f"{CERTIFY} --method uniform --dry-run", capfd)["speeds"][0]["source"] == "store"


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def images(flags: str = "") -> int:
        command = f"sweep --method dssn --sigma 0.5 --seed 0 --dry-run {flags}"
        return int(printed_json(command, capfd)["images"])

    config = tmp_path / "sweep.toml"
    config.write_text('images = "first:30"\nepochs = 7\n')
    assert images() == 445
    assert images(f"--config {config}") == 30
    monkeypatch.setenv("RSBENCH_IMAGES", "first:20")
    assert images(f"--config {config}") == 20
    assert images(f"--config {config} --images first:10") == 10


def test_a_config_file_can_hold_the_whole_sweep(home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "sweep.toml"
    config.write_text(
        'method = ["dssn", "ssn"]\nsigma = [0.5, 1]\nseed = [0, 1, 2]\nepochs = 5\nimages = "first:10"\n'
        'n0 = 10\nn = 100\nalpha = 0.01\nworkers = 2\narchitecture = "cnn"\n'
    )
    estimate = printed_json(f"sweep --config {config} --dry-run", capfd)
    assert (estimate["trials"], estimate["epochs"]) == (12, 60)
    assert estimate["passes"] == 3 * 10 * (27 + 55 + 2 * 110)
    assert estimate["speeds"][0]["architecture"] == "cnn"
    assert (
        printed_json(f"sweep --config {config} --architecture mlp --dry-run", capfd)["speeds"][0]["architecture"]
        == "mlp"
    )


def test_db_makes_and_tells_its_revision(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "now at revision" in printed("db upgrade", capfd)
    assert "already at revision" in printed("db upgrade", capfd)
    found = printed_json("db current", capfd)
    assert found["revision"] == found["needed"]


def test_another_database_is_used_when_it_is_named(
    known: Path, tmp_path: Path, trained: dict[str, Checkpoint], capfd: pytest.CaptureFixture[str]
) -> None:
    file = save_checkpoint(trained["dssn"], tmp_path)
    printed(f"{CERTIFY} --checkpoint {file} --db {tmp_path}/other.db", capfd)
    assert len(printed_json(f"leaderboard --radius 0.25 --db {tmp_path}/other.db", capfd)["groups"]) == 1
    assert printed_json("leaderboard --radius 0.25", capfd)["groups"] == []


@pytest.mark.slow
def test_doctor_finds_what_works_and_says_what_to_do_about_the_rest(
    known: Path, ray_nodes: str, capfd: pytest.CaptureFixture[str]
) -> None:
    findings = {finding["subject"]: finding for finding in printed_json("doctor", capfd)["findings"]}
    assert [subject for subject, finding in findings.items() if finding["works"]] == [
        "versions",
        "database",
        "digits",
        "device",
        "ray",
    ]
    assert "--data-root" in findings["imagenet"]["message"]
    assert "absent" in printed("doctor", capfd)
