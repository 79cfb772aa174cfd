"""`rsbench.certify` on real digits: the votes of the command line, one line for every mistake, and runs in a store."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import rsbench
from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.data.in_memory import load_digits
from rsbench.jobs.checkpoints import save_checkpoint
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.networks import Normalized, mlp
from rsbench.store.store import Store
from tests.fixtures.trained import Listener, store_with

COUNT = 40


@pytest.fixture(scope="session")
def files(trained: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The file of each trained checkpoint, by method."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {method: save_checkpoint(checkpoint, folder) for method, checkpoint in trained.items()}


@pytest.fixture
def network(trained: dict[str, Checkpoint]) -> nn.Module:
    """A trained network as a notebook has it: a module that normalises its input itself."""
    return trained["cohen"].network(torch.device("cpu"))


@pytest.fixture(scope="session")
def images(digits: ImageDataset) -> np.ndarray:
    """The first digits, k of k/16."""
    return digits.pixels(range(COUNT))


@pytest.fixture(scope="session")
def labels(digits: ImageDataset) -> np.ndarray:
    """Their labels."""
    return digits.labels_N[:COUNT]


def factory(classes: int, shape_CHW: tuple[int, int, int]) -> nn.Module:
    """What `architecture` names in the tests."""
    return Normalized(mlp(classes, shape_CHW), *load_digits().normalisation)


@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn", "dssn"])
def test_the_votes_are_those_of_the_command_line(
    method: str, home: Path, files: dict[str, Path], digits: ImageDataset, images: np.ndarray, labels: np.ndarray,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = f"certify --dataset digits --checkpoint {files[method]} --images first:{COUNT} --n0 32 --n 200"
    assert run(f"{command} --workers 0 --device cpu".split()) == 0
    with Store.open_existing(str(home / "results.db")) as store:
        [stored] = store.sealed_runs()
        rows = store.image_columns(stored.id, with_votes=True)
    given: dict[str, Any] = {} if method == "dssn" else {"n0": 32, "n": 200}
    of_dataset = rsbench.certify(files[method], digits, subset=f"first:{COUNT}", device="cpu", **given)
    of_arrays = rsbench.certify(files[method], images, labels, q=16, device="cpu", **given)
    for result in (of_dataset, of_arrays):
        assert result.columns.votes == rows.votes
        np.testing.assert_array_equal(result.columns.radius_N, rows.radius_N)
        np.testing.assert_array_equal(result.columns.predicted_N, rows.predicted_N)
        assert stored.curve is not None
        assert result.clean_accuracy == stored.curve.correct / COUNT
        assert result.average_certified_radius == stored.curve.average_certified_radius
        assert result.run is None
    # In the store it is the very run of the command.
    same = rsbench.certify(
        files[method], digits, subset=f"first:{COUNT}", device="cpu", store=home / "results.db", **given
    )
    assert same.run == stored.fingerprint
    assert same.columns.votes == rows.votes


def test_the_frame_says_what_the_certificate_says(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> None:
    result = rsbench.certify(network, images, labels, measure=rsbench.gaussian(0.5), q=16, n=200, n0=32, device="cpu")
    frame = result.images
    assert list(frame.columns[:4]) == ["label", "predicted", "correct", "radius"]
    assert list(frame.columns[4:]) == [f"votes_{label}" for label in range(10)]
    assert list(frame.index) == list(range(COUNT))
    np.testing.assert_array_equal(frame["label"].to_numpy(), labels)
    assert (frame.filter(like="votes_").sum(axis=1) == 200).all()
    np.testing.assert_array_equal(frame.filter(like="votes_").to_numpy(), result.votes_NK)
    abstained = frame["predicted"].isna()
    assert 0 < abstained.sum() < COUNT
    assert (frame["radius"] > 0).equals(~abstained)
    assert not frame["correct"][abstained].any()
    radii = rsbench.certificates.cohen(
        result.votes_NK, sigma=0.5, alpha=0.001, selected=result.selection_votes_NK.argmax(axis=1)
    )
    np.testing.assert_array_equal(frame["radius"].to_numpy(), radii)
    # The figures of the curve are those of the frame.
    correct = frame["correct"].astype(bool)
    assert result.clean_accuracy == correct.mean()
    assert result.abstention_rate == abstained.mean()
    assert (
        result.certified_accuracy(0.25)
        == result.certified_accuracy("0.25")
        == (correct & (frame["radius"] > 0.25)).mean()
    )
    assert result.average_certified_radius == pytest.approx((frame["radius"] * correct).mean(), abs=1e-12)
    curve = result.curve()
    assert curve["radius"].iloc[0] == 0.0
    assert curve["certified_accuracy"].iloc[-1] == 0.0
    assert curve["certified_accuracy"].is_monotonic_decreasing
    assert "40 images: cohen, gaussian noise of sigma 0.5, n 200" in repr(result)


def test_the_module_and_the_process_stay_as_they_were(
    network: nn.Module, images: np.ndarray, labels: np.ndarray
) -> None:
    network.train()
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.backends.cudnn.benchmark = True
    try:
        listener = Listener()
        rsbench.certify(
            network, images[:10], labels[:10], measure=rsbench.gaussian(0.5), q=16, n=100, device="cpu",
            progress=listener,
        )  # fmt: skip
        assert network.training
        assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == (2, True)
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = False
    assert (listener.lines, listener.done) == (["certifying: 10 images", "end"], 10)


def test_floats_on_the_grid_are_the_whole_numbers_and_others_lie_on_none(
    network: nn.Module, images: np.ndarray, labels: np.ndarray
) -> None:
    given: dict[str, Any] = {"measure": rsbench.uniform(0.5), "n": 100, "device": "cpu", "force": True}
    whole = rsbench.certify(network, images, labels, q=16, **given)
    floats = rsbench.certify(network, images / 16, labels, q=16, **given)
    assert floats.columns.votes == whole.columns.votes
    assert floats.dataset == whole.dataset
    unquantised = rsbench.certify(network, images / 16, labels, **given)
    assert unquantised.dataset.q is None
    assert unquantised.columns.votes != whole.columns.votes
    # Bytes without a q are k/255.
    assert rsbench.certify(network, images, labels, **given).dataset.q == 255


def test_without_labels_there_are_radii_and_no_accuracy(
    network: nn.Module, images: np.ndarray, labels: np.ndarray
) -> None:
    given: dict[str, Any] = {"measure": rsbench.gaussian(0.5), "q": 16, "n": 100, "n0": 32, "device": "cpu"}
    result = rsbench.certify(network, images, **given)
    labelled = rsbench.certify(network, images, labels, **given)
    assert result.images["label"].isna().all()
    assert result.images["correct"].isna().all()
    columns = ["predicted", "radius"]
    pd.testing.assert_frame_equal(result.images[columns], labelled.images[columns])
    assert result.abstention_rate == labelled.abstention_rate
    assert "accuracy" not in repr(result)
    with pytest.raises(rsbench.UsageError, match="no labels were given"):
        _ = result.clean_accuracy


def test_another_certificate_and_bounds_are_declared(
    network: nn.Module, images: np.ndarray, labels: np.ndarray
) -> None:
    given: dict[str, Any] = {"measure": rsbench.uniform(0.5), "q": 16, "n": 200, "device": "cpu", "force": True}
    plain = rsbench.certify(network, images, labels, **given)
    declared = rsbench.certify(network, images, labels, certificate="box-log", bounds="top-two", **given)
    assert (plain.certificate, plain.bounds) == ("lee", "one-versus-rest")
    assert (declared.certificate, declared.bounds) == ("box-log", "top-two")
    assert declared.columns.votes == plain.columns.votes
    radii = rsbench.certificates.box_log(
        plain.votes_NK, sigma=0.5, alpha=0.001, selected=plain.selection_votes_NK.argmax(axis=1), bounds="top-two"
    )
    np.testing.assert_array_equal(declared.images["radius"].to_numpy(), radii)


def test_a_checkpoint_may_be_certified_at_another_sigma(
    files: dict[str, Path], images: np.ndarray, labels: np.ndarray
) -> None:
    result = rsbench.certify(files["cohen"], images, labels, measure=rsbench.gaussian(0.25), q=16, n=100, device="cpu")
    assert result.measure.sigma == 0.25


class Sulking(nn.Module):
    """Returns NaN where a pixel is far outside [0,1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        logits_BK: Tensor = self.network(x_BCHW)
        return logits_BK.masked_fill((x_BCHW.flatten(1).amax(dim=1) > 1.5)[:, None], float("nan"))


GAUSSIAN = rsbench.gaussian(0.5)
SPLITTING_255 = rsbench.deterministic_splitting(0.5)
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("measure is missing", {"measure": None}, "give the one that the network was trained for"),
    ("a number for a measure", {"measure": 0.5}, "measure must be one such as rsbench.gaussian"),
    ("a function for a network", {"network": print}, "network must be a torch module or the path of a checkpoint"),
    ("workers", {"workers": -1}, "workers must be at least 0"),
    ("flat images", {"images": np.zeros((5, 64), np.uint8)}, r"must be N×C×H×W.*\(5, 64\)"),
    ("no images", {"images": np.zeros((0, 1, 8, 8), np.uint8)}, "no length may be 0"),
    ("images of text", {"images": np.full((1, 1, 8, 8), "a")}, "whole numbers k of k/q, or floats"),
    ("a ragged list", {"images": [[1], [1, 2]]}, "images must be an array"),
    ("a bright pixel", {"images": np.full((5, 1, 8, 8), 1.5)}, r"image 0 has a pixel of 1.5, .* in \[0,1\]"),
    ("a pixel above q", {"images": np.full((5, 1, 8, 8), 17, np.uint8)}, "image 0 has a pixel of 17, .* in 0..16"),
    ("NaN", {"images": np.full((5, 1, 8, 8), np.nan), "q": None}, "pixel of nan"),
    ("off the grid", {"images": np.full((5, 1, 8, 8), 0.51)}, "must lie on the grid k/16"),
    ("q", {"q": 300}, "q must lie in 1..255, got 300"),
    ("other images", {"images": np.zeros((5, 1, 9, 9), np.uint8)}, "the network fails on images of the shape 1×9×9"),
    ("few labels", {"labels": [1, 2]}, "labels must be 5 whole numbers, one per image"),
    ("real labels", {"labels": np.zeros(5)}, "labels must be 5 whole numbers"),
    ("a large label", {"labels": [0, 1, 10, 2, 3]}, "image 2 has the label 10, .* classes 0 to 9"),
    ("a negative label", {"labels": [0, 1, -1, 2, 3]}, "image 2 has the label -1"),
    ("certificate", {"certificate": "nope"}, "certificate nope is unknown: choose from cohen"),
    ("another certificate", {"certificate": "lee"}, "certificate lee.*does not hold for gaussian"),
    ("bounds", {"bounds": "both"}, "bounds 'both': choose from one-versus-rest, top-two"),
    ("n", {"n": 5}, "^n 5 "),
    ("n0", {"n0": 0}, "^n0 must be at least 1"),
    ("alpha", {"alpha": 2.0}, "^alpha 2 is not a failure probability"),
    ("seed", {"seed": -1}, "^seed must lie between 0"),
    ("batch size", {"batch_size": 0}, "^batch_size must lie between 1"),
    ("device", {"device": "tpu"}, "^device tpu: choose from cpu, cuda"),
    ("precision", {"precision": "fp8"}, "precision: Input should be 'fp32'"),
    ("tf32 on a CPU", {"precision": "tf32"}, "precision tf32"),
    ("subset", {"subset": "first:50"}, "subset first:50.* 5 images"),
    ("grid noise", {"noise_arithmetic": "grid"}, "noise_arithmetic grid"),
    ("n of an exact measure", {"measure": rsbench.deterministic_splitting(0.5, q=16)}, "leave n out"),
    ("splits", {"measure": SPLITTING_255, "n": None}, r"give deterministic_splitting\(0.5, q=16\)"),
    ("exact off the grid", {"measure": SPLITTING_255, "n": None, "images": np.zeros((5, 1, 8, 8)), "q": None}, "k/q"),
    ("an unlabelled run in a store", {"labels": None, "store": "results.db"}, "a store keeps labelled images only"),
    ("a file", {"network": "nowhere.safetensors", "measure": None}, "there is no such file"),
    ("a factory for a file", {"network": "nowhere.safetensors", "architecture": "a:b"}, "belongs to a module"),
    ("a factory", {"architecture": "nowhere:factory"}, "nowhere.*cannot be imported"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "complaint"), [entry[1:] for entry in REFUSED], ids=[entry[0] for entry in REFUSED]
)
def test_a_mistake_is_one_line_and_leaves_no_store(
    changes: dict[str, Any], complaint: str, home: Path, network: nn.Module, images: np.ndarray, labels: np.ndarray
) -> None:
    given: dict[str, Any] = {
        "network": network, "images": images[:5], "labels": labels[:5], "measure": GAUSSIAN, "q": 16, "n": 100,
        "device": "cpu", "store": home / "results.db",
    }  # fmt: skip
    with pytest.raises((rsbench.UsageError, rsbench.DataError, rsbench.CheckpointError), match=complaint) as refusal:
        rsbench.certify(**(given | changes))
    assert "\n" not in str(refusal.value)
    assert "--" not in str(refusal.value)
    assert not home.exists()


def test_nan_on_a_noisy_copy_names_the_images(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(rsbench.CheckpointError, match=r"cannot be certified on images 0 to .*NaN or infinity"):
        rsbench.certify(Sulking(network), images, labels, measure=GAUSSIAN, q=16, n=100, device="cpu", force=True)


def test_a_network_that_guesses_is_refused_unless_forced(images: np.ndarray, labels: np.ndarray) -> None:
    torch.manual_seed(0)
    untrained = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(
        rsbench.CheckpointError,
        match=r"guessing among 10 classes: check normalisation .* certify it anyway with force=True",
    ):
        rsbench.certify(untrained, images, labels, measure=GAUSSIAN, q=16, n=100, device="cpu")
    forced = rsbench.certify(untrained, images, labels, measure=GAUSSIAN, q=16, n=100, device="cpu", force=True)
    assert forced.clean_accuracy < 0.5


def test_a_foreign_file_is_to_be_loaded_into_a_module(
    tmp_path: Path, network: nn.Module, images: np.ndarray, labels: np.ndarray
) -> None:
    torch.save(network.state_dict(), tmp_path / "net.pt")
    with pytest.raises(rsbench.CheckpointError, match="build the network, load its state dict, and give the module"):
        rsbench.certify(tmp_path / "net.pt", images, labels, measure=GAUSSIAN, device="cpu")


def test_a_checkpoint_of_another_measure_or_other_images_is_refused(
    files: dict[str, Path], images: np.ndarray, labels: np.ndarray
) -> None:
    with pytest.raises(rsbench.UsageError, match="trained for another measure"):
        rsbench.certify(files["cohen"], images, labels, measure=rsbench.uniform(0.5), q=16, device="cpu")
    with pytest.raises(rsbench.CheckpointError, match=r"takes images of the shape \(1, 8, 8\)"):
        rsbench.certify(files["cohen"], np.zeros((5, 1, 9, 9), np.uint8), [0] * 5, q=16, device="cpu")


class TestStore:
    """A run of a module in a store."""

    def certify(self, network: nn.Module, images: Any, labels: Any, home: Path, **given: Any) -> rsbench.Certification:
        arguments: dict[str, Any] = {"measure": GAUSSIAN, "n": 100, "n0": 32, "device": "cpu"}
        return rsbench.certify(network, images, labels, store=home / "results.db", **(arguments | given))

    def test_it_is_sealed_read_again_and_on_the_board(
        self, home: Path, network: nn.Module, images: np.ndarray, labels: np.ndarray,
        capfd: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        first = self.certify(network, images, labels, home, q=16, dataset="my digits")
        listener = Listener()
        again = self.certify(network, images, labels, home, q=16, dataset="my digits", progress=listener)
        assert listener.done == 0
        assert again.run == first.run is not None
        pd.testing.assert_frame_equal(again.images, first.images)
        without = rsbench.certify(network, images, labels, measure=GAUSSIAN, n=100, n0=32, device="cpu", q=16)
        pd.testing.assert_frame_equal(without.images, first.images)
        with rsbench.open_store(home / "results.db") as store:
            frame = store.runs()
            assert list(frame.index) == [first.run]
            assert frame["sealed"].all()
            assert frame["clean_accuracy"].iloc[0] == first.clean_accuracy
            pd.testing.assert_frame_equal(store.images(first.run), first.images)
        assert run(["leaderboard", "--norm", "l2"]) == 0
        assert "my digits" in capfd.readouterr().out
        assert run(["show", first.run]) == 0
        assert run(["db", "check"]) == 0

    def test_another_network_is_another_run(
        self, home: Path, network: nn.Module, images: np.ndarray, labels: np.ndarray
    ) -> None:
        first = self.certify(network, images, labels, home, q=16)
        other = self.certify(nn.Sequential(network), images, labels, home, q=16)
        assert first.run != other.run
        assert first.columns.votes == other.columns.votes

    def test_verify_says_what_it_needs(
        self, home: Path, network: nn.Module, digits: ImageDataset, capfd: pytest.CaptureFixture[str]
    ) -> None:
        result = self.certify(network, digits, None, home, subset="first:20")
        capfd.readouterr()
        assert run(["verify", str(result.run), "--workers", "0"]) == 2
        complaint = capfd.readouterr().err
        assert complaint.count("\n") == 1
        assert "Python object of the class rsbench.models.networks.Normalized" in complaint
        assert "architecture='package.module:factory'" in complaint
        # Nor does it stand in the way of the other checkpoints.
        assert run(["certify", "--dataset", "digits", "--method", "cohen", "--workers", "0"]) == 2
        assert "no checkpoint of cohen of digits is known" in capfd.readouterr().err

    def test_with_a_factory_it_is_verified(
        self, home: Path, network: nn.Module, digits: ImageDataset, capfd: pytest.CaptureFixture[str]
    ) -> None:
        result = self.certify(
            network, digits, None, home, subset="first:20", architecture=f"{__name__}:factory", force=True
        )
        with Store.open_existing(str(home / "results.db")) as store:
            [record] = store.checkpoints()
        assert Path(record.path).is_file()
        assert run(["verify", str(result.run), "--workers", "0"]) == 0
        assert "all votes are those of run" in capfd.readouterr().err

    def test_a_known_checkpoint_is_named_by_its_digits(
        self, home: Path, digits: ImageDataset, trained: dict[str, Checkpoint]
    ) -> None:
        store_with(home, digits, trained["ssn"]).close()
        with rsbench.open_store() as store:
            result = rsbench.certify(
                trained["ssn"].sha256[:12], digits, subset="first:20", n=100, n0=32, device="cpu", store=store
            )
            assert list(store.runs().index) == [result.run]
            assert store.runs()["checkpoint"].iloc[0] == trained["ssn"].sha256
        with Store.open_existing(str(home / "results.db")) as reopened:
            [record] = reopened.checkpoints()
            assert Path(record.path).is_file()


@pytest.mark.slow
def test_workers_give_the_same_votes(network: nn.Module, images: np.ndarray, labels: np.ndarray) -> None:
    given: dict[str, Any] = {"measure": GAUSSIAN, "q": 16, "n": 100, "device": "cpu"}
    alone = rsbench.certify(network, images, labels, **given)
    shared = rsbench.certify(network, images, labels, workers=2, **given)
    assert alone.columns.votes == shared.columns.votes


@pytest.mark.parametrize(
    "statement",
    [
        "import rsbench; dir(rsbench); rsbench.__version__",
        "import rsbench; rsbench.UsageError",
        "import rsbench; rsbench.gaussian(0.5)",
        "import rsbench; rsbench.certificates.cohen(pa=0.9, sigma=0.5)",
    ],
)
def test_torch_is_imported_only_where_a_network_runs(statement: str) -> None:
    script = f"{statement}; import sys; print(sorted({{'torch', 'ray', 'sqlalchemy'}} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert printed.stdout == "[]\n"


def test_type_checkers_see_the_names_that_are_imported_later() -> None:
    tree = ast.parse(Path(rsbench.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "rsbench" in str(node.module)]
    assert sorted(alias.asname or alias.name for node in imports for alias in node.names) == sorted(rsbench.__all__)


def test_every_name_of_the_api_is_there() -> None:
    for name in rsbench.__all__:
        assert getattr(rsbench, name) is not None
        assert name in dir(rsbench)
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        _ = rsbench.nope
