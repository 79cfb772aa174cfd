"""Runs from .npz files of votes or lower bounds. Shapes: N = 4 images, K = 10 classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsbench.errors import RsbenchError
from rsbench.foreign.npz_runs import read_npz
from rsbench.records import ImportedRun
from rsbench.theory.confidence import clopper_pearson_lower
from rsbench.votes_format import decode_votes
from tests.foreign.sample_files import import_options, sampled_radius, write_arrays

N, ALPHA, SIGMA = 1000, 0.001, 0.5
LABELS = np.array([3, 8, 8, 0])
TOP = np.array([1000, 900, 550, 400])
PREDICTED = np.array([3, 8, 1, 0])
VOTES = np.zeros((4, 10), dtype=np.int64)
VOTES[np.arange(4), PREDICTED] = TOP
VOTES[:, 9] = N - TOP
SELECTION = np.zeros((4, 10), dtype=np.int64)
SELECTION[np.arange(4), PREDICTED] = 70
SELECTION[:, 9] = 30


def votes_file(folder: Path, **changes: Any) -> Path:
    """Write a valid file of votes with some arrays changed; None leaves an array out."""
    arrays = {"labels": LABELS, "votes": VOTES, "selection": SELECTION, "sigma": SIGMA, "alpha": ALPHA}
    return write_arrays(folder / "run.npz", **arrays | changes)


def bounds_file(folder: Path, **changes: Any) -> Path:
    lower_N = clopper_pearson_lower(TOP, N, ALPHA)
    arrays = {"labels": LABELS, "lower_bounds": lower_N, "predicted": PREDICTED, "n": N}
    return write_arrays(folder / "run.npz", **arrays | {"sigma": SIGMA, "alpha": ALPHA} | changes)


def read(file: Path, **options: Any) -> ImportedRun:
    [run] = read_npz([file], import_options(**options)).runs
    return run


def refusal(file: Path, **options: Any) -> str:
    with pytest.raises(RsbenchError) as caught:
        read_npz([file], import_options(**options))
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(file))
    return line


def expected_radii() -> list[float]:
    return [sampled_radius("cohen", int(k), N, ALPHA, SIGMA) if k > 549 else 0.0 for k in TOP]


def test_votes_are_certified(tmp_path: Path) -> None:
    run = read(votes_file(tmp_path))
    # 550 of 1000 votes are not a significant majority at α = 0.001, and 400 are no majority.
    assert run.images.predicted_N.tolist() == [3, 8, 1 if expected_radii()[2] > 0 else -1, -1]
    assert run.images.radius_N.tolist() == expected_radii()
    assert run.images.votes is not None
    np.testing.assert_array_equal(decode_votes(run.images.votes), np.stack([SELECTION, VOTES], axis=1))
    spec = run.spec
    assert (spec.source, spec.n_select, spec.n_estimate, spec.failure_probability) == ("npz", 100, N, ALPHA)
    assert (spec.sigma, spec.images, spec.radius_text, run.notes) == (SIGMA, "0:4:1", None, ())


def test_a_selected_class_without_votes_is_stored_as_a_single_vote(tmp_path: Path) -> None:
    run = read(votes_file(tmp_path, selection=None, predicted=PREDICTED, n0=64))
    assert run.images.radius_N.tolist() == expected_radii()
    assert run.images.votes is not None
    selection_NK = decode_votes(run.images.votes)[:, 0]
    assert selection_NK.sum(axis=1).tolist() == [1, 1, 1, 1]
    assert selection_NK.argmax(axis=1).tolist() == PREDICTED.tolist()
    assert run.spec.n_select == 64
    assert run.notes == ("the file has only the selected class: its selection votes are stored as a single vote",)


def test_lower_bounds_are_turned_into_radii(tmp_path: Path) -> None:
    run = read(bounds_file(tmp_path))
    assert run.images.radius_N.tolist() == expected_radii()
    assert run.images.predicted_N[[0, 1, 3]].tolist() == [3, 8, -1]
    assert run.images.votes is None
    assert (run.spec.n_select, run.spec.n_estimate) == (None, N)


def test_lower_bounds_in_float32_are_lowered_by_one_step(tmp_path: Path) -> None:
    lower_N = clopper_pearson_lower(TOP, N, ALPHA)
    run = read(bounds_file(tmp_path, lower_bounds=lower_N.astype(np.float32)))
    assert (run.images.radius_N <= expected_radii()).all()
    np.testing.assert_allclose(run.images.radius_N[:2], expected_radii()[:2], rtol=1e-4)


def test_votes_of_dssn_are_certified(tmp_path: Path) -> None:
    votes_NK = np.zeros((4, 10), dtype=np.int64)
    votes_NK[:, 3] = 441
    votes_NK[1] = [200, 241, *[0] * 8]
    file = votes_file(tmp_path, votes=votes_NK, selection=None, alpha=None)
    run = read(file, method="dssn")
    assert run.spec.levels == 441
    assert (run.spec.n_select, run.spec.n_estimate, run.spec.failure_probability) == (None, None, None)
    assert run.images.predicted_N.tolist() == [3, 1, 3, 3]
    # Classes with a lower index than 3 win ties against it: ⌊(441 − 0 − 1)/2⌋ = 220 and ⌊(241 − 200 − 1)/2⌋ = 20 steps.
    np.testing.assert_array_equal(np.rint(run.images.radius_N * 255), [220, 20, 220, 220])


def test_votes_are_certified_by_the_procedure_of_the_method(tmp_path: Path) -> None:
    # 45 % against eleven per cent for five other classes each: top-two certifies this, one-versus-rest abstains.
    votes_NK = np.zeros((4, 10), dtype=np.int64)
    votes_NK[:, 0], votes_NK[:, 1:6] = 450, 110
    arrays = {"votes": votes_NK, "selection": None, "predicted": np.zeros(4, dtype=np.int64)}
    single, double = (read(votes_file(tmp_path, **arrays), method=method) for method in ("uniform", "uniform++"))
    assert (single.spec.certificate, single.spec.procedure) == ("lee", "one-versus-rest")
    assert single.images.predicted_N.tolist() == [-1] * 4
    assert (double.spec.certificate, double.spec.procedure) == ("box", "top-two")
    assert double.images.predicted_N.tolist() == [0] * 4
    assert (double.images.radius_N > 0).all()
    assert "lower_bounds are of pA alone, but uniform++ also bounds pB (top-two)" in refusal(
        bounds_file(tmp_path), method="uniform++"
    )


def test_options_fill_what_the_file_lacks(tmp_path: Path) -> None:
    file = votes_file(tmp_path, sigma=None, alpha=None)
    run = read(file, sigma=SIGMA, failure_probability=ALPHA, n_estimate=N, n_select=100)
    assert run.images.radius_N.tolist() == expected_radii()


def test_rows_are_sorted_by_image_index(tmp_path: Path) -> None:
    run = read(votes_file(tmp_path, index=np.array([30, 0, 20, 10])))
    assert run.spec.images == "0:31:10"
    assert run.images.label_N.tolist() == [8, 0, 8, 3]
    assert run.images.radius_N.tolist() == [expected_radii()[i] for i in (1, 3, 2, 0)]


def test_every_file_below_a_folder_is_a_run(tmp_path: Path) -> None:
    votes_file(tmp_path / "a")
    bounds_file(tmp_path / "b")
    (tmp_path / "notes.txt").touch()
    runs = read_npz([tmp_path], import_options()).runs
    assert [run.source for run in runs] == [f"{tmp_path.name}/a/run.npz", f"{tmp_path.name}/b/run.npz"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "has no array labels: it contains alpha, selection, sigma, votes"),
        ({"labels": LABELS / 2}, "labels must have whole numbers, got float64"),
        ({"labels": LABELS[:0]}, "labels must have one class for each image, got the shape (0,)"),
        ({"labels": np.array([3, 8, 10, 0])}, "labels has the class 10, outside 0..9 of cifar10"),
        ({"labels": LABELS[:3]}, "4 rows of votes but 3 labels"),
        ({"votes": VOTES[:, :9]}, "the votes are of 9 classes, but the dataset has 10"),
        ({"votes": -VOTES}, "votes must not be negative, got -1000"),
        ({"votes": VOTES / 2}, "votes must have whole numbers, got float64"),
        (
            {"votes": VOTES * [[1], [1], [2], [1]]},
            "every image needs the same number of votes, at least 1, got 1000 to 2000",
        ),
        ({"votes": None}, "either votes or lower_bounds, and it contains alpha, labels, selection, sigma"),
        ({"lower_bounds": np.ones(4)}, "either votes or lower_bounds"),
        ({"selection": None}, "add selection (N×K) or predicted (N) of other votes"),
        ({"selection": SELECTION[:, :5]}, "selection has the shape (4, 5), votes (4, 10)"),
        ({"selection": SELECTION * 0}, "selection: every image needs the same number of votes, at least 1, got 0 to 0"),
        ({"predicted": LABELS}, "predicted is not the class that selection selects"),
        ({"selection": None, "predicted": -LABELS}, "predicted has the class -3, outside 0..9 of cifar10"),
        ({"selection": None, "predicted": LABELS[:3]}, "predicted must have one number for each of the 4 labels"),
        ({"n0": 64}, "the selection votes of an image sum to 100, but n0 = 64 was given"),
        ({"n": 2000}, "the votes of an image sum to 1000, but n = 2000 was given"),
        ({"n": 1000.5}, "n must be one whole number"),
        ({"sigma": None}, "σ must be a positive number, got None: give --sigma"),
        ({"sigma": -1.0}, "σ must be a positive number, got -1.0"),
        ({"sigma": np.ones(4)}, "sigma must be one number"),
        ({"alpha": None}, "α must lie between 0 and 1, got None: give --alpha"),
        ({"alpha": 1.5}, "α must lie between 0 and 1, got 1.5"),
        ({"index": np.array([0, 1, 1, 2])}, "index must have distinct numbers ≥ 0"),
        ({"index": np.array([0, 1, -1, 2])}, "index must have distinct numbers ≥ 0"),
        ({"index": np.arange(3)}, "index must have one number for each of the 4 labels"),
        ({"index": np.array([0, 1, 2, 10_000])}, "index 10000 is beyond the 10,000 images of cifar10"),
        ({"votes": np.array([{}], dtype=object)}, "cannot be read as an .npz file: Object arrays cannot be loaded"),
    ],
)
def test_impossible_votes_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(votes_file(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predicted": None}, "lower_bounds need the array predicted"),
        (
            {"predicted": np.array([-1, 8, 1, 0])},
            "index 0: predicted is −1, an abstention, but its lower bound of 0.993",
        ),
        ({"n": None}, "the number of votes behind lower_bounds is unknown: give --n"),
        ({"n": 100}, "a lower bound is 0.993116048, but n = 100 and α = 0.001 allow at most 0.933254301"),
        ({"lower_bounds": np.array([0.9, 1.0, 0.5, 0.2])}, "a lower bound from samples lies in [0, 1), got 1"),
        ({"lower_bounds": np.array([0.9, np.nan, 0.5, 0.2])}, "a lower bound from samples lies in [0, 1), got nan"),
        ({"lower_bounds": np.array([1, 0, 1, 0])}, "lower_bounds must have one float for each image, got int64"),
    ],
)
def test_impossible_lower_bounds_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    assert message in refusal(bounds_file(tmp_path, **changes))


def test_contradictions_with_the_options_are_refused(tmp_path: Path) -> None:
    file = votes_file(tmp_path)
    assert "sigma is 0.5 in the file and 0.25 by --sigma" in refusal(file, sigma=0.25)
    assert "alpha is 0.001 in the file and 0.01 by --alpha" in refusal(file, failure_probability=0.01)
    assert "the votes of an image sum to 1000, but n = 10 was given" in refusal(file, n_estimate=10)
    assert "certificate dssn needs votes" in refusal(bounds_file(tmp_path), method="dssn")


def test_a_certificate_that_looks_at_images_is_refused(tmp_path: Path) -> None:
    votes_file(tmp_path)
    with pytest.raises(RsbenchError, match="certificate box-image needs the pixels"):
        read_npz([tmp_path], import_options("ssn", certificate="box-image"))


def test_a_folder_without_a_file_is_refused(tmp_path: Path) -> None:
    assert "no .npz file" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04", b"\x80\x04K\x01."])
def test_files_of_another_kind_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.npz"
    file.write_bytes(content)
    assert "cannot be read as an .npz file" in refusal(file)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    file = votes_file(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert "cannot be read as an .npz file" in refusal(file)
