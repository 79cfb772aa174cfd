"""What a run has come to so far is what its curve will say in the end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.jobs.certify import run_certification
from rsbench.jobs.options import CertifyOptions
from rsbench.jobs.planning import plan_run
from rsbench.jobs.progress import RADII, ProgressTally
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import Ball, ImageColumns
from rsbench.store.store import Store
from tests.fixtures.results import DIGITS, certification_of, counts_at, part_of, write_run
from tests.fixtures.trained import Interrupter, store_with


@pytest.mark.parametrize("method", ["ssn", "dssn"])
def test_the_last_tally_is_the_curve(method: str, tmp_path: Path) -> None:
    """An open ball is certified at a radius below its own, a closed one also at its own."""
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        spec = write_run(store, DIGITS, method, 0.5, 0, images="0:445:1", count=445)
        run = store.run(spec.fingerprint())
        counts = counts_at(store, [run], *RADII)
        images = store.image_columns(run.id)
    tally = ProgressTally(spec)
    tally.add(part_of(images, slice(100)))
    tally.add(part_of(images, slice(100, None)))
    assert run.curve is not None
    ball: Ball = "closed" if method == "dssn" else "open"
    certified = [counts.count(run.curve.id, radius, ball) for radius in RADII]
    told = str(tally)
    for radius, count in zip(RADII, certified, strict=True):
        assert f"{1000 * count // 445 / 10:.1f} % at {radius:g}" in told
    assert told.startswith(f"{-(-1000 * run.curve.abstained // 445) / 10:.1f} % abstained, certified ")


def test_without_labels_only_abstentions_are_reported(tmp_path: Path) -> None:
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:445:1", count=445)
        images = store.image_columns(store.run(spec.fingerprint()).id)
    tally = ProgressTally(spec)
    tally.add(replace(images, label_N=np.full(445, -1)))
    assert str(tally).endswith(" % abstained")


def test_shares_are_rounded_to_the_side_that_claims_less(tmp_path: Path) -> None:
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        spec = write_run(store, DIGITS, "ssn", 0.5, 0, images="0:20:1", count=20)
    tally = ProgressTally(spec)
    assert str(tally) == "no image yet"
    three = np.arange(3)
    radius_N = np.array([0.5, 2.0, 0.0])
    tally.add(ImageColumns(index_N=three, label_N=three, predicted_N=np.array([0, 1, -1]), radius_N=radius_N))
    assert str(tally) == "33.4 % abstained, certified 66.6 % at 0.25, 33.3 % at 0.5, 33.3 % at 1"


class Reader(Interrupter):
    """Keeps what the progress says."""

    def __init__(self, after: int) -> None:
        super().__init__(after)
        self.details: list[str] = []

    def advance(self, amount: int, detail: str = "") -> None:
        self.details.append(detail)
        super().advance(amount, detail)


def test_a_resumed_run_tells_of_all_its_images(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    plan = plan_run(trained["ssn"], "x", digits, CertifyOptions(images="first:60", n_estimate=5000))
    with store_with(tmp_path, digits, trained["ssn"]) as store:
        with pytest.raises(KeyboardInterrupt):
            run_certification(store, digits, [plan], workers=0, listener=Reader(after=20))
        reader = Reader(after=1000)
        run_certification(store, digits, [plan], workers=0, listener=reader)
        [run] = store.sealed_runs()
        whole = ProgressTally(certification_of(run))
        whole.add(store.image_columns(run.id))
    assert reader.details[-1] == f"ssn sigma 0.5 seed 0: {whole}"
