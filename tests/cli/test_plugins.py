"""A plugin from outside the package: its certificate, method, dataset and architecture, command by command."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import beta
from streamlit.testing.v1 import AppTest

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint
from rsbench.store.store import Store
from rsbench.votes_format import decode_votes
from tests.fixtures.commands import refused
from tests.fixtures.plugins import WritePlugin
from tests.fixtures.trained import store_with

PLUGIN = """
import numpy as np
import torch
from torch import nn

from rsbench.data.in_memory import ArrayDataset, load_digits
from rsbench.data.registry import DATASETS
from rsbench.families import FAMILIES, Family
from rsbench.methods import METHODS, Method
from rsbench.models.architectures import ARCHITECTURES, Architecture
from rsbench.smoothing.measures import SmoothingMeasure
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Certificate, SampledCertificate, Verdicts
from rsbench.theory.rounding import lower_by_ulps


class Half(SampledCertificate):
    name = "half"
    norms = ("l1",)
    ball = "open"
    threat_models = {"uniform": "all of R^d"}
    condition = "uniform noise"
    source = "half of Lee et al. 2019"
    scale = "half_width"

    def _radius(self, bounds, scale, images):
        return lower_by_ulps(scale * bounds.gap_N) / 2


class Unanimous(Certificate):
    '''It needs no bound on a probability: a radius of the class where all votes agree, else an abstention.'''

    name = "unanimous"
    norms = ("l1",)
    ball = "open"
    threat_models = {"uniform": "all of R^d"}
    condition = "uniform noise"
    source = "nobody"

    def _certify(self, selection_NK, estimation_NK, measure, failure_probability, procedure, images):
        abstained_N = estimation_NK.max(axis=1) < estimation_NK.sum(axis=1)
        radius_N = np.where(abstained_N, 0.0, measure.sigma)
        return Verdicts(estimation_NK.argmax(axis=1), abstained_N, radius_N)


class LaplaceL1(SampledCertificate):
    name = "laplace"
    norms = ("l1",)
    ball = "open"
    threat_models = {"laplace": "all of R^d"}
    condition = "Laplace noise, independent across coordinates"
    source = "Teng et al. 2020"
    scale = "sigma"

    def _radius(self, bounds, scale, images):
        # For pB = 1 − pA. One ulp lower than rounded is enough here, for the test does not rely on it.
        return np.nextafter(-scale / np.sqrt(2.0) * np.log(2.0 * (1.0 - bounds.lower_N)), 0.0)


class LaplaceNoise(SmoothingMeasure):
    def __init__(self, sigma):
        self.scale = sigma / 2.0 ** 0.5

    def perturb(self, prepared_BCHW, random):
        u_BCHW = random.uniform(tuple(prepared_BCHW.shape[1:])).sub_(0.5)
        return prepared_BCHW - self.scale * u_BCHW.sign() * torch.log1p(-2.0 * u_BCHW.abs().clamp(max=0.4999999))


def laplace(spec, *, q, shape_CHW, on_grid):
    return LaplaceNoise(spec.sigma)


def few_digits(root):
    digits = load_digits()
    split = digits.pixels(range(40)), digits.labels_N[:40]
    return ArrayDataset("few-digits", test=split, train=split, classes=10, q=16, architecture="linear")


def linear(classes, shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))


CERTIFICATES.register("half", Half())
CERTIFICATES.register("unanimous", Unanimous())
METHODS.register("uniform-half", Method("uniform-half", "Halved", "uniform", "noise-augmentation", "half", "2026"))
DATASETS.register("few-digits", few_digits)
ARCHITECTURES.register("linear", Architecture(linear))
FAMILIES.register("laplace", Family("laplace", "Laplace noise, independent across coordinates", "half_plugin:laplace"))
CERTIFICATES.register("laplace", LaplaceL1())
METHODS.register("laplace", Method("laplace", "Laplace", "laplace", "noise-augmentation", "laplace", "Teng 2020"))
"""


@pytest.fixture
def plugin(home: Path, write_plugin: WritePlugin) -> str:
    """The options that load the plugin."""
    write_plugin("half_plugin", PLUGIN)
    return "--plugin half_plugin"


def printed_json(command: str, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert run([*command.split(), "--json"]) == 0, capfd.readouterr().err
    output: dict[str, Any] = json.loads(capfd.readouterr().out)
    return output


def test_the_calculator_takes_a_certificate_of_a_plugin(plugin: str, capfd: pytest.CaptureFixture[str]) -> None:
    votes = "--votes 950,30,20 --alpha 0.001 --sigma 1"
    assert "unknown certificate 'half'" in refused(f"radius half {votes}", capfd)
    half = printed_json(f"{plugin} radius half {votes} --measure uniform", capfd)
    assert half["radius"] == printed_json(f"radius lee {votes}", capfd)["radius"] / 2
    assert (half["source"], half["ball"]) == ("half of Lee et al. 2019", "open")
    assert printed_json("radius half --pa 0.75 --half-width 2", capfd)["radius"] == pytest.approx(0.5, rel=1e-15)
    # A certificate that is not a formula of bounds has votes and a measure, but no probabilities.
    assert printed_json("radius unanimous --votes 100,0 --alpha 0.001 --sigma 0.5", capfd)["radius"] == 0.5
    assert printed_json("radius unanimous --votes 99,1 --alpha 0.001 --sigma 0.5", capfd)["radius"] is None
    assert "half takes no --dim: it takes --votes" in refused(f"radius half {votes} --dim 3", capfd)
    assert "unanimous takes no --pa" in refused("radius unanimous --pa 0.9", capfd)
    assert "unanimous needs --votes, --alpha and --sigma" in refused("radius unanimous", capfd)
    assert "half does not hold for splitting" in refused(f"radius half {votes} --measure splitting", capfd)
    assert run(["radius", "--list"]) == 0
    assert "half of Lee et al. 2019" in capfd.readouterr().out


def test_a_run_declares_a_certificate_of_a_plugin_and_another_run_is_recertified_by_it(
    plugin: str, home: Path, digits: ImageDataset, trained: dict[str, Checkpoint], capfd: pytest.CaptureFixture[str]
) -> None:
    store_with(home, digits, trained["uniform"]).close()
    certify = "certify --dataset digits --images first:40 --n0 64 --n 250 --workers 0"
    [usual] = printed_json(f"{plugin} {certify} --method uniform", capfd)["runs"]
    [halved] = printed_json(f"{plugin} {certify} --method uniform-half", capfd)["runs"]
    recertified = printed_json(f"{plugin} recertify {usual['run'][:12]} --certificate half", capfd)
    assert [curve["certificate"] for curve in recertified["curves"]] == ["half"]
    with Store.open_existing(str(home / "results.db")) as store:
        radius_N = [store.image_columns(store.run(run["run"]).id).radius_N for run in (usual, halved)]
        made = store.details(store.run(halved["run"]).id).provenances
    # Both have the same votes.
    assert (radius_N[0] / 2 == radius_N[1]).all()
    assert radius_N[1].any()
    # Which code it was is kept, for no git revision of ours tells.
    assert len(made[0].versions["plugin half_plugin"]) == 12
    shown = printed_json(f"{plugin} show {halved['run'][:12]}", capfd)
    assert shown["certificate"]["source"] == "half of Lee et al. 2019"
    assert run([*plugin.split(), "leaderboard", "--dataset", "digits", "--norm", "l1"]) == 0
    assert "Halved" in capfd.readouterr().out


def test_a_method_of_a_plugin_has_a_measure_of_its_own(
    plugin: str, home: Path, digits: ImageDataset, trained: dict[str, Checkpoint], capfd: pytest.CaptureFixture[str]
) -> None:
    file = home.parent / "network.pt"
    torch.save(trained["cohen"].network(torch.device("cpu")).get_submodule("backbone").state_dict(), file)
    described = f"--checkpoint {file} --method laplace --sigma 0.5 --normalisation dataset"
    certify = f"{plugin} certify --dataset digits --images first:20 --n0 64 --n 250 --workers 0 {described}"
    [made] = printed_json(certify, capfd)["runs"]
    with Store.open_existing(str(home / "results.db")) as store:
        record = store.run(made["run"])
        images = store.image_columns(record.id, with_votes=True)
    assert record.spec.measure.family == record.certificate == "laplace"
    assert images.correct_N.sum() >= 10
    assert images.votes is not None
    certified_N = images.radius_N > 0
    top_N = decode_votes(images.votes)[certified_N, -1].max(axis=1)
    # The radius is σ/√2 · ln 1/2(1 − p), with the lower bound p of Clopper and Pearson.
    lower_N = beta.ppf(0.001, top_N, 250 - top_N + 1)
    expected_N = -0.5 / np.sqrt(2) * np.log(2 * (1 - lower_N))
    np.testing.assert_allclose(images.radius_N[certified_N], expected_N, rtol=1e-9)


def test_the_dashboard_loads_the_plugins_of_the_environment(
    plugin: str,
    home: Path,
    digits: ImageDataset,
    trained: dict[str, Checkpoint],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store_with(home, digits, trained["uniform"]).close()
    certify = "certify --dataset digits --images first:40 --n0 64 --n 250 --workers 0 --method uniform-half"
    assert run([*plugin.split(), *certify.split()]) == 0, capfd.readouterr().err
    monkeypatch.setenv("RSBENCH_DB", str(home / "results.db"))
    app = AppTest.from_file(str(Path(__file__).parents[2] / "dashboards" / "app.py"), default_timeout=60).run()
    assert not app.exception
    assert not app.warning
    assert any("Halved" in str(table.value) for table in app.table)
    monkeypatch.setenv("RSBENCH_PLUGINS", "half_plugin,no_such_plugin")
    [warning] = app.run().warning
    assert "cannot be imported" in warning.value


@pytest.mark.slow
def test_workers_load_the_plugin_of_the_command(plugin: str, home: Path) -> None:
    """Training, certification and the architecture of the plugin, in processes that Ray starts."""
    options = "--method uniform-half --sigma 0.5 --seed 0 --epochs 1 --n0 10 --n 20 --batch-size 64"
    command = f"{Path(sys.executable).with_name('rsbench')} {plugin} sweep --dataset few-digits {options} --workers 2"
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False, cwd=home.parent)
    assert done.returncode == 0, done.stderr
    with Store.open_existing(str(home / "results.db")) as store:
        [sealed] = store.sealed_runs()
        assert sealed.done == 40
        training = store.training_of_checkpoint(sealed.checkpoint_sha256 or "")
    assert training is not None
    assert training.spec.architecture == "linear"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"json": "0" * 64}, "rsbench: plugin 'json' differs between the node"),
        ({"missing_here": "0" * 64}, "rsbench: plugin 'missing_here' cannot be imported (ModuleNotFoundError"),
    ],
)
def test_a_worker_with_other_code_is_refused(
    sources: dict[str, str], message: str, home: Path, digits: ImageDataset, trained: dict[str, Checkpoint],
    ray_nodes: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The driver says that it uses a module which its nodes do not have, or have in another version."""
    store_with(home, digits, trained["uniform"]).close()
    monkeypatch.setattr("rsbench.cluster.scheduler.loaded_sources", lambda: sources)
    assert (
        run(
            [
                "certify",
                "--dataset",
                "digits",
                "--method",
                "uniform",
                "--images",
                "first:40",
                "--n",
                "100",
                "--workers",
                "1",
            ]
        )
        == 2
    )
    assert message in capfd.readouterr().err.splitlines()[-1]
