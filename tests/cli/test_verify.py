"""Recomputing a sealed run: the same votes, or the image and both of them."""

import json
import sqlite3
from pathlib import Path

import pytest

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint
from rsbench.store.store import Store
from rsbench.votes_format import decode_votes, encode_votes
from tests.fixtures.commands import refused
from tests.fixtures.results import DIGITS, write_run
from tests.fixtures.trained import store_with


@pytest.fixture
def certified(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint], capfd: pytest.CaptureFixture[str]
) -> dict[str, str]:
    """The fingerprints of a certified run of each method, by method."""
    store_with(home, digits, trained["ssn"], trained["dssn"]).close()
    assert (
        run(["certify", "--dataset", "digits", "--images", "first:60", "--n0", "64", "--n", "250", "--workers", "0"])
        == 0
    )
    capfd.readouterr()
    with Store.open_existing(str(home / "results.db")) as store:
        return {record.method: record.fingerprint for record in store.sealed_runs()}


@pytest.mark.parametrize("method", ["ssn", "dssn"])
def test_a_run_comes_out_again(certified: dict[str, str], method: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", certified[method][:12], "--sample", "5", "--seed", "3", "--workers", "0", "--json"]) == 0
    told = capfd.readouterr()
    found = json.loads(told.out)
    assert found["differences"] == []
    assert len(found["sampled"]) == 5
    assert 5 <= found["recomputed"] <= 60
    assert "all votes are those of run" in told.err
    assert run(["verify", certified[method][:12], "--sample", "5", "--seed", "3", "--workers", "0", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["sampled"] == found["sampled"]


def test_more_images_than_there_are_is_all_of_them(
    certified: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", certified["ssn"][:12], "--sample", "1000", "--workers", "0"]) == 0
    assert "60 images drawn" in capfd.readouterr().err


def test_a_vote_that_was_changed_is_found_with_its_image_and_both_votes(
    certified: dict[str, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Store.open_existing(str(home / "results.db")) as store:
        record = store.run(certified["ssn"])
        votes = store.image_columns(record.id, with_votes=True).votes
    assert votes is not None
    counts_RK = decode_votes(votes)[7]
    winner = int(counts_RK[-1].argmax())
    changed_RK = counts_RK.copy()
    changed_RK[-1, winner] -= 1
    changed_RK[-1, (winner + 1) % 10] += 1
    with sqlite3.connect(home / "results.db") as connection:
        changed = (encode_votes(changed_RK[None])[0], record.id)
        connection.execute("UPDATE image_result SET votes = ? WHERE run_id = ? AND image_index = 7", changed)
    connection.close()
    assert run(["verify", record.fingerprint[:12], "--sample", "60", "--seed", "0", "--workers", "0"]) == 4
    told = capfd.readouterr()
    assert told.out.startswith("image 7: stored ")
    assert told.out.count("\n") == 1
    stored, now = told.out.split("; now ")
    before, after = (f"class {winner}: {counts_RK[0, winner]} + {counts_RK[-1, winner] - lost}" for lost in (1, 0))
    assert before in stored
    assert after in now
    assert "1 of 60 images" in told.err
    assert run(["verify", record.fingerprint[:12], "--sample", "60", "--workers", "0", "--json"]) == 4
    (difference,) = json.loads(capfd.readouterr().out)["differences"]
    assert difference["image"] == 7
    assert difference["recomputed"] == counts_RK.tolist()


def test_what_cannot_be_verified_is_one_line(
    certified: dict[str, str], home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = certified["ssn"][:12]
    for arguments, complaint in (
        ("--sample 0", "--sample must be at least 1 (got 0)"),
        ("--seed -1", "--seed must be at least 0 (got -1)"),
        ("--workers -1", "give 0 or more"),
    ):
        assert complaint in refused(f"verify {name} {arguments}", capfd)
    with Store.open_existing(str(home / "results.db")) as store:
        other = write_run(store, DIGITS, "uniform", 0.5, 0, images="0:20:1", count=20).fingerprint()
        unsealed = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20, sealed=False).fingerprint()
    assert "digits has other images here than in run" in refused(f"verify {other[:12]}", capfd)
    assert "is not sealed" in refused(f"verify {unsealed[:12]}", capfd)
    for file in (home / "checkpoints").glob("*"):
        file.unlink()
    assert "is no longer at" in refused(f"verify {name}", capfd)
