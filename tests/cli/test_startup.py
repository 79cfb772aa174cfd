"""What commands do not import: torch and Ray take seconds, so mistakes and finished work are reported without them."""

import subprocess
import sys
from pathlib import Path

import pytest

from rsbench.cli.main import run
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.provenance import provenance
from rsbench.methods import measure_for, method_named
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import EpochRecord
from rsbench.specs import SweepSpec, TrainingSpec
from rsbench.store.store import Store
from tests.fixtures.trained import store_with

HEAVY = ("torch", "torchvision", "ray", "sklearn", "pandas", "streamlit")
SWEEP = "sweep --method ssn --sigma 0.5 --seed 0 --epochs 3 --images first:20 --n 100 --workers 0 --device cpu"


def run_alone(arguments: str) -> tuple[int, str, list[str]]:
    """Run a command in a new process: its exit code, its last line, and the heavy packages that it imported."""
    program = (
        "import sys\n"
        "from rsbench.cli.main import run\n"
        f"code = run({arguments.split()!r})\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()[-1], done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("sweep --dataset digit --method dssn", "unknown dataset 'digit'"),
        ("sweep --method dssn --architecture vgg", "unknown architecture 'vgg'"),
        ("sweep --method ssn --n 9", "--n 9 certifies no image"),
        ("sweep --method dssn --sigma 0.01", "leaves dssn with 0 splits"),
        ("sweep --method dssn --images first:446", "the dataset has only 445 images"),
        ("certify --dataset digits --checkpoint nosuch", "--checkpoint nosuch: there is no such file"),
        ("bench --precision fp8", "--precision fp8: choose from fp32"),
        ("leaderboard --norm l7", "norm"),
    ],
)
def test_a_mistake_is_reported_without_heavy_imports(arguments: str, message: str, home: Path) -> None:
    code, line, imported = run_alone(arguments)
    assert (code, imported) == (2, [])
    assert message in line


def test_a_certification_that_is_finished_needs_no_heavy_import(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint]
) -> None:
    store_with(home, digits, trained["ssn"]).close()
    command = "certify --dataset digits --method ssn --images first:20 --n 100 --workers 0 --device cpu"
    assert run(command.split()) == 0
    code, line, imported = run_alone(command)
    assert (code, imported) == (0, [])
    assert line.startswith("nothing is missing: 1 run sealed before")


def test_a_sweep_that_is_finished_needs_no_heavy_import(
    home: Path, digits: ImageDataset, trained: dict[str, Checkpoint]
) -> None:
    with store_with(home, digits, trained["ssn"]) as store:
        record_training(store, digits, trained["ssn"], home)
    assert run(SWEEP.split()) == 0
    code, line, imported = run_alone(SWEEP)
    assert (code, imported) == (0, [])
    assert line.startswith("nothing is missing: 1 run sealed before")


def record_training(store: Store, digits: ImageDataset, checkpoint: Checkpoint, home: Path) -> None:
    """Store the trial of the sweep, so that no Ray has to train it."""
    info = digits.info
    trial = TrainingSpec(
        objective="noise-augmentation",
        dataset=info.name,
        dataset_fingerprint=info.fingerprint,
        architecture="mlp",
        measure=measure_for(method_named("ssn"), 0.5, q=info.q, offsets_seed=0),
        seed=0,
        epochs=3,
        device="cpu",
    )
    sweep = SweepSpec(
        methods=("ssn",),
        dataset=info.name,
        dataset_fingerprint=info.fingerprint,
        architecture="mlp",
        sigmas=(0.5,),
        seeds=(0,),
        epochs=3,
        images="0:20:1",
        budget=None,
    )
    store.record_sweep(sweep)
    store.record_training(
        trial,
        sweep=sweep,
        sha256=checkpoint.sha256,
        path=str(home / "checkpoints" / f"{checkpoint.sha256}.safetensors"),
        header=checkpoint.header,
        epochs=(EpochRecord(1, 0.1, 0.9, 1.0),),
        provenance=provenance("a test"),
    )
