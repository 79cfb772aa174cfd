"""Runs from tables: σ, n and α are determined, and no radius claims more than was certified."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsbench.errors import RsbenchError
from rsbench.foreign.import_options import ReadResult
from rsbench.foreign.tsv_runs import DATA_DEPENDENT_NOTE, read_tsv
from tests.foreign.sample_files import import_options, sampled_radius, write_radii, write_table

WITH_SIGMA = "idx\tlabel\tpredict\tradius\tcorrect\tsigma"


def read(*paths: Path, **options: Any) -> ReadResult:
    return read_tsv(paths, import_options(**options))


def refusal(*paths: Path, **options: Any) -> str:
    with pytest.raises(RsbenchError) as caught:
        read_tsv(paths, import_options(**options))
    line = str(caught.value)
    assert "\n" not in line
    return line


def unanimous(sigma: float, n: int = 100_000, alpha: float = 0.001, form: str = "{:.3}") -> list[str]:
    """Return the radii of three images, the last of which is unanimous."""
    return [form.format(sampled_radius("cohen", k, n, alpha, sigma)) for k in (n * 6 // 10, n * 8 // 10, n)]


# Published files.


def test_n_and_alpha_of_the_published_files_are_inferred(shared_data: Path) -> None:
    reading = read(shared_data / "published")
    assert [run.spec.sigma for run in reading.runs] == [0.12, 0.25, 0.5, 1.0]
    for run in reading.runs:
        assert (run.spec.n_estimate, run.spec.failure_probability) == (100_000, 0.001)
        assert run.spec.radius_text == "3 significant digits"
        assert run.spec.images == "0:10000:1"
        assert len(run.images) == 10_000
        assert run.notes[0] == (
            "radii were printed with 3 significant digits: half a unit of the last digit was subtracted"
        )
        assert "inferred" in run.notes[1]
    assert (reading.warnings, reading.empty_files, reading.ignored_files) == ((), (), ())


def test_radii_of_a_published_file_do_not_exceed_the_certified_ones(shared_data: Path) -> None:
    # Every certified radius is that of some number of votes; the stored ones must not exceed it.
    [file] = (shared_data / "published").rglob("sigma_0.25")
    [run] = read(file).runs
    count = np.arange(50_000, 100_001)
    radius_C = np.array([sampled_radius("cohen", int(k), 100_000, 0.001, 0.25) for k in count[::50]])
    assert run.images.radius_N.max() <= radius_C[-1]
    assert radius_C[-1] - run.images.radius_N.max() < 0.001


def test_options_that_contradict_a_published_file_give_a_warning(shared_data: Path) -> None:
    [file] = (shared_data / "published").rglob("sigma_0.50")
    reading = read(file, n_estimate=10_000, failure_probability=0.001)
    [warning] = reading.warnings
    assert warning.startswith(f"{file}: the largest radius, 1.91, is above 1.59929, the most that")
    assert "the most that n = 10,000, α = 0.001 can certify" in warning
    [run] = reading.runs
    assert run.notes[-1] in warning
    assert run.spec.n_estimate == 10_000
    [warning] = read(file, n_estimate=1_000_000, failure_probability=0.001).warnings
    assert "those of unanimous images under n = 100,000, α = 0.001, not under n = 1,000,000, α = 0.001" in warning


# n and α.


@pytest.mark.parametrize("sigma", [0.12, 0.25, 0.5, 1.0])
@pytest.mark.parametrize(("n", "alpha"), [(10_000, 0.001), (100_000, 0.001), (1_000_000, 0.001), (50_000, 0.0005)])
def test_n_and_alpha_are_inferred_from_whole_floats(tmp_path: Path, sigma: float, n: int, alpha: float) -> None:
    file = write_radii(tmp_path / f"sigma_{sigma}", unanimous(sigma, n, alpha, "{!r}"))
    [run] = read(file).runs
    assert (run.spec.n_estimate, run.spec.failure_probability) == (n, alpha)
    assert run.spec.radius_text is not None
    assert run.spec.radius_text.endswith("significant digits")


def test_ambiguous_pairs_are_named_and_n_or_alpha_decides(tmp_path: Path) -> None:
    file = write_radii(tmp_path / "sigma_0.5", unanimous(0.5, 100_000, 0.01, "{!r}"))
    assert "fits n = 100,000, α = 0.01 or n = 200,000, α = 0.0001: give --n and --alpha" in refusal(file)
    [run] = read(file, n_estimate=200_000).runs
    assert run.spec.failure_probability == 0.0001
    assert read(file, n_estimate=100_000, failure_probability=0.01).warnings == ()


def test_files_of_one_folder_determine_n_and_alpha_together(tmp_path: Path) -> None:
    # The two decimals of a single file fit several pairs.
    files = [write_radii(tmp_path / f"sigma_{s}", unanimous(s, form="{:.2f}")) for s in (0.12, 0.25, 0.5, 1.0, 2.0)]
    assert "fits" in refusal(files[0])
    reading = read(tmp_path)
    assert {(run.spec.n_estimate, run.spec.failure_probability) for run in reading.runs} == {(100_000, 0.001)}


def test_a_file_without_a_unanimous_image_takes_n_and_alpha_from_the_others(tmp_path: Path) -> None:
    write_radii(tmp_path / "sigma_0.25", unanimous(0.25))
    write_radii(tmp_path / "sigma_1.0", unanimous(1.0)[:2])
    assert [run.spec.n_estimate for run in read(tmp_path).runs] == [100_000, 100_000]
    assert "fits no common n and α: no image was unanimous, or other values were used" in refusal(
        tmp_path / "sigma_1.0"
    )


def test_files_with_different_n_are_not_imported_together(tmp_path: Path) -> None:
    write_radii(tmp_path / "sigma_0.25", unanimous(0.25))
    write_radii(tmp_path / "sigma_0.5", unanimous(0.5, 1000))
    line = refusal(tmp_path)
    assert "no single n and α fit the largest radii of all 2 files" in line
    assert line.endswith("give --n and --alpha")


def test_an_uncommon_n_is_given_as_an_option(tmp_path: Path) -> None:
    file = write_radii(tmp_path / "sigma_0.5", unanimous(0.5, 64_000))
    [run] = read(file, n_estimate=64_000).runs
    assert (run.spec.n_estimate, run.spec.failure_probability) == (64_000, 0.001)


def test_n0_is_stored_as_given(tmp_path: Path) -> None:
    file = write_radii(tmp_path / "sigma_0.25", unanimous(0.25))
    assert [run.spec.n_select for run in read(file, n_select=100).runs] == [100]


def test_the_same_warning_about_many_files_is_one_line(tmp_path: Path) -> None:
    for seed in range(3):
        write_radii(tmp_path / f"{seed}" / "sigma_0.25", unanimous(0.25))
    [warning] = read(tmp_path, n_estimate=1000, failure_probability=0.001).warnings
    assert warning.startswith(f"{tmp_path}/0/sigma_0.25 and 2 more files: the largest radius, 0.953, is above")


# σ.


def test_sigma_from_the_path_the_column_or_the_option(tmp_path: Path) -> None:
    rows = [f"0\t1\t1\t{unanimous(0.25)[-1]}\t1\t0.25"]
    file = write_table(tmp_path / "rows", rows, header=WITH_SIGMA)
    assert [run.spec.sigma for run in read(file).runs] == [0.25]
    plain = write_radii(tmp_path / "plain", unanimous(0.25))
    assert [run.spec.sigma for run in read(plain, sigma=0.25).runs] == [0.25]
    assert f"{plain}: σ is unknown: give --sigma" in refusal(plain)
    moved = write_table(tmp_path / "sigma_0.5", rows, header=WITH_SIGMA)
    assert f"{moved}: σ is 0.5 by its path, 0.25 by its column sigma" in refusal(moved)
    assert "σ is 1 by --sigma, 0.25 by its column sigma" in refusal(file, sigma=1.0)


def test_sigma_that_varies_by_image_is_recorded_as_data_dependent(tmp_path: Path) -> None:
    rows = ["0\t1\t1\t0.5\t1\t0.25", "1\t1\t1\t0.753\t1\t0.5", "2\t1\t-1\t0.0\t0\t0.125"]
    file = write_table(tmp_path / "sigma_0.25", rows, header=WITH_SIGMA)
    assert "σ was chosen for each image, so the largest radius does not determine n and α" in refusal(file)
    reading = read(file, n_estimate=100_000, failure_probability=0.001)
    [run] = reading.runs
    assert run.spec.data_dependent
    assert run.spec.sigma == 0.25
    assert run.images.sigma_N is not None
    assert run.images.sigma_N.tolist() == [0.25, 0.5, 0.125]
    assert run.notes[-1] == DATA_DEPENDENT_NOTE
    assert reading.warnings == ()
    [warning] = read(file, n_estimate=100, failure_probability=0.001).warnings
    assert "the largest radius, 0.753, is above 0.7" in warning
    unnamed = write_table(tmp_path / "rows", rows, header=WITH_SIGMA)
    assert "its column sigma varies, and the σ at which the choice started is unknown: give --sigma" in refusal(unnamed)


# Other certificates.


def test_l1_radii_at_half_of_alpha_are_recognised(tmp_path: Path) -> None:
    # Code that passes α = 0.001 to a two-sided interval certifies at 0.0005, one-sided.
    radii = [repr(sampled_radius("lee", k, 100_000, 0.0005, 0.5)) for k in (70_000, 100_000)]
    file = write_radii(tmp_path / "sigma_0.5", radii)
    [run] = read(file, method="ssn").runs
    assert (run.spec.certificate, run.spec.family) == ("lee", "splitting")
    assert (run.spec.n_estimate, run.spec.failure_probability) == (100_000, 0.0005)


def test_radii_of_top_two_bounds_need_n_and_alpha(tmp_path: Path) -> None:
    # A unanimous image has pA = (α/2)^(1/n) under top-two.
    limit = sampled_radius("box", 1000, 1000, 0.0005, 0.5)
    file = write_radii(tmp_path / "sigma_0.5", [repr(limit)])
    assert "radii of top-two bounds do not determine n and α: give --n and --alpha" in refusal(file, method="split++")
    reading = read(file, method="split++", n_estimate=1000, failure_probability=0.001)
    [run] = reading.runs
    assert (run.spec.certificate, run.spec.procedure) == ("box", "top-two")
    assert reading.warnings == ()
    [warning] = read(file, method="split++", n_estimate=500, failure_probability=0.001).warnings
    assert "is above" in warning


def test_radii_of_dssn_are_multiples_of_the_grid_step(tmp_path: Path) -> None:
    steps = np.array([0, 1, 50, 100, 200])
    file = write_radii(tmp_path / "sigma_0.5", [f"{k / 255:.3}" for k in steps])
    [run] = read(file, method="dssn").runs
    np.testing.assert_array_equal(np.rint(run.images.radius_N * 255), steps)
    assert (run.images.radius_N <= steps / 255).all()
    assert (run.spec.n_estimate, run.spec.failure_probability, run.spec.levels) == (None, None, 441)
    assert "each is recorded as the smallest k/255 that prints as the same text" in run.notes[0]
    tiny = write_radii(tmp_path / "sigma_0.001", ["0.0"])
    assert f"{tiny}: σ = 0.001 gives 0 splits at q = 255" in refusal(tiny, method="dssn")


def test_radii_that_are_not_on_the_grid_are_refused(tmp_path: Path) -> None:
    file = write_radii(tmp_path / "sigma_0.5", ["0.125", "0.301"])
    line = refusal(file, method="dssn", dataset="mine", q=16)
    assert f"{file}: idx 1: no k/16 prints as the radius 0.301: these radii are not of deterministic-splitting" in line


# Folders and images.


def test_empty_tables_and_other_files_are_skipped(tmp_path: Path) -> None:
    write_radii(tmp_path / "noise_0.25" / "sigma_0.25", unanimous(0.25))
    write_radii(tmp_path / "noise_0.5" / "sigma_0.5", [])
    (tmp_path / "noise_0.5" / "sigma_1.0").touch()
    (tmp_path / "README.md").write_text("How these were made\n")
    reading = read(tmp_path)
    assert [run.source for run in reading.runs] == [f"{tmp_path.name}/noise_0.25/sigma_0.25"]
    assert reading.empty_files == (tmp_path / "noise_0.5" / "sigma_0.5", tmp_path / "noise_0.5" / "sigma_1.0")
    assert reading.ignored_files == (tmp_path / "README.md",)
    assert "line 1 is not a header" in refusal(tmp_path / "README.md")


def test_an_import_without_rows_is_refused(tmp_path: Path) -> None:
    assert "nothing to import, no file has tabs" in refusal(tmp_path)
    (tmp_path / "sigma_1").touch()
    assert f"{tmp_path}: nothing to import, all tables are empty (1)" in refusal(tmp_path)


def test_a_subset_of_the_images_is_imported_as_such(tmp_path: Path) -> None:
    rows = [f"{i}\t1\t1\t{unanimous(0.25)[-1]}\t1\tt" for i in (400, 0, 20, 40)]
    [run] = read(write_table(tmp_path / "sigma_0.25", rows)).runs
    assert run.spec.images == "0,20,40,400"
    assert run.dataset.images == 10_000


def test_an_unknown_dataset_has_as_many_images_as_the_files_name(tmp_path: Path) -> None:
    file = write_radii(tmp_path / "sigma_0.25", unanimous(0.25))
    [run] = read(file, dataset="mine", q=16).runs
    assert (run.dataset.images, run.dataset.shape) == (3, (1, 8, 8))


def test_copies_of_a_file_are_the_same_run(tmp_path: Path) -> None:
    file = write_radii(tmp_path / "sigma_0.25", unanimous(0.25))
    copy = write_radii(tmp_path / "copy" / "sigma_0.25", unanimous(0.25))
    [run], [copied] = read(file).runs, read(copy).runs
    assert run.spec.fingerprint() == copied.spec.fingerprint()
