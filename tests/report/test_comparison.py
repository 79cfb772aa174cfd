"""Two runs on the same images: what is compared, what is refused, what is printed."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from rsbench.cli.main import run
from rsbench.errors import UsageError
from rsbench.records import ImageColumns, RunRecord
from rsbench.report.comparison import compare, comparison_json, comparison_table
from rsbench.report.run_facts import curve_of
from rsbench.store.store import Store
from tests.fixtures.commands import refused
from tests.fixtures.results import DIGITS, FASHION, write_run

RADII = ("0.25", "0.5", "1")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.create_or_open(str(tmp_path / "results.db")) as store:
        yield store


def written(store: Store, method: str, sigma: float, *, count: int = 400, sealed: bool = True) -> RunRecord:
    spec = write_run(store, DIGITS, method, sigma, 0, images=f"0:{count}:1", count=count, sealed=sealed)
    return store.run(spec.fingerprint())


def with_images(store: Store, record: RunRecord) -> tuple[RunRecord, ImageColumns]:
    return record, store.image_columns(record.id)


def test_columns_are_the_rows_of_a_run(store: Store) -> None:
    record, columns = with_images(store, written(store, "ssn", 0.5))
    assert columns.index_N.tolist() == list(range(400))
    assert columns.votes is None
    assert columns.correct_N.tolist() == (columns.label_N == columns.predicted_N).tolist()
    assert columns.correct_N.sum() == curve_of(record).correct
    assert store.image_columns(-1).radius_N.shape == (0,)


def test_every_number_matches_its_definition(store: Store) -> None:
    first = with_images(store, written(store, "ssn", 0.25))
    second = with_images(store, written(store, "ssn", 0.5))
    document = comparison_json(compare(first, second, RADII))
    p_values = []
    for line in document["radii"]:
        certified_a, certified_b = (
            images.correct_N & (images.radius_N > float(line["radius"])) for _, images in (first, second)
        )
        only_first, only_second = int((certified_a & ~certified_b).sum()), int((certified_b & ~certified_a).sum())
        assert (line["only_first"], line["only_second"]) == (only_first, only_second)
        assert line["difference"] == pytest.approx((only_first - only_second) / 400, abs=1e-15)
        differing = only_first + only_second
        expected = binomtest(only_first, differing).pvalue if differing else 1.0
        assert line["p_value"] == pytest.approx(expected, rel=1e-9)
        p_values.append(line["p_value"])
    corrected = [line["p_value_holm"] for line in document["radii"]]
    np.testing.assert_allclose(corrected, multipletests(p_values, method="holm")[1], rtol=1e-12)
    mean = document["average_certified_radius"]
    difference = curve_of(first[0]).average_certified_radius - curve_of(second[0]).average_certified_radius
    # Sums of 400 radii below 2: their rounding errors are far below this.
    assert mean["difference"] == pytest.approx(difference, abs=1e-12)
    assert mean["low"] < mean["difference"] < mean["high"]


def test_swapping_the_runs_changes_signs_and_keeps_p_values(store: Store) -> None:
    first = with_images(store, written(store, "ssn", 0.25))
    second = with_images(store, written(store, "ssn", 0.5))
    one, other = compare(first, second, RADII), compare(second, first, RADII)
    for at, swapped in zip(one.radii, other.radii, strict=True):
        assert (at.test.only_first, at.test.only_second) == (swapped.test.only_second, swapped.test.only_first)
        assert at.corrected == swapped.corrected
    assert one.average_radius is not None
    assert other.average_radius is not None
    assert one.average_radius.mean == -other.average_radius.mean


def test_an_infinite_radius_has_no_average_and_the_accuracies_are_compared(store: Store) -> None:
    run, images = with_images(store, written(store, "ssn", 0.25))
    radius_N = np.where(np.arange(len(images)) == np.flatnonzero(images.correct_N)[0], np.inf, images.radius_N)
    other = with_images(store, written(store, "ssn", 0.5))
    comparison = compare((run, replace(images, radius_N=radius_N)), other, RADII)
    assert comparison.average_radius is None
    assert len(comparison.radii) == len(RADII)
    assert comparison_json(comparison)["average_certified_radius"]["difference"] is None
    with (console := Console(width=100, color_system=None)).capture() as capture:
        console.print(comparison_table(comparison))
    assert "not compared, because a radius is infinite" in capture.get()


def test_closed_balls_are_certified_at_their_radius(store: Store) -> None:
    # DSSN's radii are k/16: at 0.25 = 4/16 the radius itself counts.
    first = with_images(store, written(store, "dssn", 0.25))
    second = with_images(store, written(store, "dssn", 0.5))
    at = compare(first, second, ["0.25"]).radii[0]
    _, images = first
    exact = float((images.correct_N & (images.radius_N >= 0.25)).mean())
    assert at.first == exact > float((images.correct_N & (images.radius_N > 0.25)).mean())


def test_an_l2_certificate_is_compared_in_l2_first_and_in_l1_when_asked(store: Store) -> None:
    first, second = with_images(store, written(store, "cohen", 0.25)), with_images(store, written(store, "cohen", 0.5))
    uniform = with_images(store, written(store, "uniform", 0.5))
    assert compare(first, second, RADII).norm == "l2"
    assert compare(first, second, RADII, norm="l1").norm == "l1"
    assert compare(first, uniform, RADII).norm == "l1"
    with pytest.raises(UsageError, match="--norm l2: the certificates of these runs share l1"):
        compare(first, uniform, RADII, norm="l2")


def test_runs_that_differ_in_their_data_or_threat_model_are_not_compared(store: Store) -> None:
    ssn = with_images(store, written(store, "ssn", 0.5))
    fashion = write_run(store, FASHION, "ssn", 0.5, 0, images="0:400:1", count=400)
    for other, message in (
        (store.run(fashion.fingerprint()), "differ in their dataset"),
        (written(store, "ssn", 0.25, count=300), "differ in their images"),
        (written(store, "dssn", 0.5), "differ in their threat model"),
        (written(store, "ssn", 0.75, sealed=False), "is not sealed"),
        (ssn[0], "is named twice"),
    ):
        with pytest.raises(UsageError, match=message):
            compare(ssn, with_images(store, other), RADII)


def test_the_table_shows_both_runs_and_every_radius(store: Store) -> None:
    first, second = with_images(store, written(store, "ssn", 0.25)), with_images(store, written(store, "ssn", 0.5))
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(comparison_table(compare(first, second, RADII)))
    text = console.export_text()
    assert "digits · 400 images · l1, the box [0,1]^d" in text
    for record in (first[0], second[0]):
        assert record.fingerprint[:12] in text
    for radius in RADII:
        assert f"\n{radius:>7} " in text
    assert "95 % interval" in text


def test_the_command_prints_what_the_report_says(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    first, second = written(store, "ssn", 0.25), written(store, "ssn", 0.5)
    command = ["compare", first.fingerprint[:12], second.fingerprint[:12], "--db", str(store.engine.url.database)]
    expected = comparison_json(compare(with_images(store, first), with_images(store, second), RADII))
    assert run([*command, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"schema": 1} | expected
    assert run(command) == 0
    assert "p (Holm)" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Missing argument 'RUN_A'"),
        ("abcd", "Missing argument 'RUN_B'"),
        ("abcd xyz", "no results yet"),
        ("abcd abce --radius one", "'one' is not a radius"),
        ("abcd abce --radius ,", "no radius given"),
        ("abcd abce --confidence 1", "--confidence 1: give a number between 0 and 1"),
        ("abcd abce --resamples 10", "--resamples 10: give 100 to 1000000"),
        ("abcd abce --seed=-1", "--seed -1: give a whole number"),
    ],
)
def test_bad_input_gets_one_line(home: Path, arguments: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert message in refused(f"compare {arguments}".strip(), capfd)
    assert not home.exists()
