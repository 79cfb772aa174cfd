"""`rsbench.open_store`: the frames say what the commands print."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import rsbench
from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, FASHION, write_run
from tests.fixtures.trained import store_with


@pytest.fixture
def runs(home: Path) -> dict[str, str]:
    """The fingerprints of a sealed run of each method, by method, and of one that is open."""
    with Store.create_or_open(str(home / "results.db")) as store:
        sealed = {
            method: write_run(store, DIGITS, method, 0.5, 0, images="0:50:1", count=50).fingerprint()
            for method in ("cohen", "ssn", "dssn")
        }
        unsealed = write_run(store, FASHION, "ssn", 1.0, 0, images="0:20:1", count=20, sealed=False)
    return sealed | {"open": unsealed.fingerprint()}


@pytest.fixture
def store(runs: dict[str, str]) -> Iterator[rsbench.ResultStore]:
    """The store of these runs, as a notebook opens it."""
    with rsbench.open_store() as opened:
        yield opened


def printed(arguments: str, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert run(arguments.split()) == 0
    return capfd.readouterr().out


def test_runs(store: rsbench.ResultStore, runs: dict[str, str]) -> None:
    frame = store.runs()
    assert dict(zip(frame.index, frame["sealed"], strict=True)) == {
        name: method != "open" for method, name in runs.items()
    }
    exact = frame.loc[runs["dssn"]]
    assert (exact["method"], exact["certificate"], exact["images"], exact["done"]) == ("dssn", "dssn", 50, 50)
    assert exact[["n0", "n", "alpha"]].isna().all()
    unsealed = frame.loc[runs["open"]]
    assert (unsealed["done"], unsealed["images"]) == (10, 20)
    assert pd.isna(unsealed["clean_accuracy"])
    assert list(store.runs("fashion-mnist").index) == [runs["open"]]
    assert frame["clean_accuracy"].dtype == "Float64"


def test_a_store_without_runs_has_empty_frames(home: Path) -> None:
    with rsbench.open_store(home / "new.db", create=True) as store:
        assert store.runs().empty
        assert store.leaderboard().empty


def test_images_and_curves_are_those_of_the_run(
    store: rsbench.ResultStore, runs: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    images = store.images(runs["ssn"][:12])
    assert list(images.index) == list(range(50))
    assert (images.filter(like="votes_").sum(axis=1) == 1000).all()
    assert "votes_0" not in store.images(runs["ssn"], votes=False)
    curves = store.curves(runs["ssn"])
    assert curves[["certificate", "bounds", "n", "alpha", "standing"]].to_numpy().tolist() == [
        ["lee", "one-versus-rest", 1000, 0.001, "declared"]
    ]
    assert curves["clean_accuracy"].iloc[0] == images["correct"].mean()
    curve = store.curve(runs["ssn"])
    for radius, accuracy in curve.itertuples(index=False):
        assert accuracy == (images["correct"].astype(bool) & (images["radius"] > radius)).mean()
    shown = json.loads(printed(f"show {runs['ssn']} --json", capfd))
    assert shown["run"] == runs["ssn"]


def test_an_open_run_has_images_and_no_curve(store: rsbench.ResultStore, runs: dict[str, str]) -> None:
    assert len(store.images(runs["open"])) == 10
    assert store.curves(runs["open"]).empty
    for call in (store.curve, store.recertify):
        with pytest.raises(rsbench.UsageError, match="is not sealed"):
            call(runs["open"])


@pytest.mark.parametrize("all_runs", [False, True])
def test_the_leaderboard_is_the_command_s(
    store: rsbench.ResultStore, all_runs: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    flags = " --all" if all_runs else ""
    csv = pd.read_csv(io.StringIO(printed(f"leaderboard --norm l1 --radius 0.25,0.5 --csv{flags}", capfd)))
    frame = store.leaderboard(radii=(0.25, "0.5"), all_runs=all_runs)
    assert list(frame.columns) == list(csv.columns)
    assert frame["method"].tolist() == csv["method"].tolist()
    np.testing.assert_array_equal(frame["certified_accuracy"], csv["certified_accuracy"])
    assert set(store.leaderboard(norm="l2")["method"]) == {"cohen"}


def test_recertification_is_kept_only_when_it_is_saved(
    store: rsbench.ResultStore, runs: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    box = store.recertify(runs["ssn"], certificate="box-log", n=100, alpha=0.01)
    assert (box.certificate, box.n, box.alpha, box.run) == ("box-log", 100, 0.01, runs["ssn"])
    assert len(store.curves(runs["ssn"])) == 1
    saved = store.recertify(runs["ssn"], certificate="box-log", n=100, alpha=0.01, save=True)
    pd.testing.assert_frame_equal(saved.images, box.images)
    kept = store.curves(runs["ssn"]).iloc[1]
    assert (kept["certificate"], kept["n"], kept["standing"]) == ("box-log", 100, "exploratory")
    assert kept["average_certified_radius"] == box.average_certified_radius
    assert kept["clean_accuracy"] == box.clean_accuracy
    assert kept["abstention_rate"] == box.abstention_rate
    curve = store.curve(runs["ssn"], certificate="box-log", n=100, alpha=0.01)
    pd.testing.assert_frame_equal(curve, box.curve())
    # It is the curve of the command.
    printed(f"recertify {runs['ssn'][:12]} --certificate box-log --n 100 --alpha 0.01", capfd)
    assert len(store.curves(runs["ssn"])) == 2
    store.recertify(runs["ssn"], alpha=0.05, save=True, declared="protocol 7")
    assert store.curves(runs["ssn"])["statement"].tolist()[2] == "protocol 7"
    assert "exploratory" in store.leaderboard(exploratory=True)["group"].str.cat()


def test_a_certificate_that_looks_at_pixels_finds_the_images(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint]
) -> None:
    store_with(home, digits, trained["ssn"]).close()
    with rsbench.open_store() as store:
        result = rsbench.certify(
            trained["ssn"].sha256[:12], digits, subset="every:20", n=100, device="cpu", store=store
        )
        stored = store.recertify(str(result.run), certificate="box-image")
        pd.testing.assert_frame_equal(stored.images, result.recertify(certificate="box-image").images)
        with pytest.raises(rsbench.UsageError, match="looks at the pixels, which are not at hand"):
            store.recertify(str(result.run)).recertify(certificate="box-image")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("images", {"run": "0000"}, "0 runs begin with '0000'"),
    ("images", {"run": "x"}, "'x' is not a run"),
    ("recertify", {"certificate": "cohen"}, "cohen does not hold for the splitting noise"),
    ("recertify", {"n": 37}, "no votes at n = 37"),
    ("recertify", {"alpha": 0.01, "declared": "protocol"}, "give save=True"),
    ("recertify", {"alpha": 0.01, "declared": " ", "save": True}, "give save=True and a name"),
    ("leaderboard", {"norm": "l0"}, "unknown norm 'l0'"),
    ("leaderboard", {"radii": ["far"]}, "'far' is not a radius"),
]


@pytest.mark.parametrize(("method", "given", "complaint"), REFUSED)
def test_a_mistake_is_one_line(
    store: rsbench.ResultStore, runs: dict[str, str], method: str, given: dict[str, Any], complaint: str
) -> None:
    arguments = given if method == "leaderboard" else {"run": runs["ssn"]} | given
    with pytest.raises(rsbench.UsageError, match=complaint) as refusal:
        getattr(store, method)(**arguments)
    assert "\n" not in str(refusal.value)
    assert "--" not in str(refusal.value)
    assert len(store.curves(runs["ssn"])) == 1


def test_a_store_that_is_not_there_is_not_made(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(rsbench.UsageError, match="no results yet at"):
        rsbench.open_store()
    assert not home.exists()
    monkeypatch.setenv("RSBENCH_DB", str(home / "other.db"))
    rsbench.open_store(create=True).close()
    assert (home / "other.db").is_file()
