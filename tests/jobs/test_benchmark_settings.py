"""Other arithmetic and batches, measured beside a run's own."""

from pathlib import Path

import pytest

from rsbench.certification.voting import CertificationWork, ChunkVoter
from rsbench.data.dataset import ImageDataset
from rsbench.errors import UsageError
from rsbench.jobs import benchmark_settings as settings
from rsbench.jobs.benchmark_settings import compare_settings
from rsbench.jobs.options import CertifyOptions
from rsbench.jobs.planning import plan_run
from rsbench.models.checkpoint import Checkpoint
from rsbench.specs import CertificationSpec
from tests.fixtures.trained import Listener


@pytest.fixture(autouse=True)
def _nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling takes half a minute; one network is compiled in the tests of the arithmetic."""
    every = settings._settings
    monkeypatch.setattr(settings, "_settings", lambda spec: [s for s in every(spec) if not s.torch_compile])


def run_of(checkpoint: Checkpoint, digits: ImageDataset) -> CertificationSpec:
    return plan_run(checkpoint, "", digits, CertifyOptions(images="first:9", n_estimate=250, batch_size=128)).spec


def test_the_runs_own_setting_comes_first_and_each_other_once(
    trained: dict[str, Checkpoint], digits: ImageDataset
) -> None:
    own = run_of(trained["ssn"], digits)
    listener = Listener()
    found = compare_settings(trained["ssn"], digits, own, seconds=0.01, listener=listener)
    assert found[0].spec == own
    assert found[0].agreement == 1.0
    assert len({one.spec.fingerprint() for one in found}) == len(found) == 6
    assert [one.spec.batch_size for one in found] == [128, 32, 512, 128, 128, 128]
    assert all(one.passes_per_second is not None and one.passes_per_second > 0 for one in found)
    # Another batch is not compared; half the bits change few votes of a trained network.
    assert [one.agreement is None for one in found] == [False, True, True, False, False, False]
    assert all(one.agreement is None or one.agreement > 0.9 for one in found)


def test_a_setting_that_does_not_work_here_is_told_with_its_reason(
    trained: dict[str, Checkpoint], digits: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = run_of(trained["ssn"], digits)
    real = ChunkVoter

    def counter(work: CertificationWork) -> ChunkVoter:
        if work.spec.precision == "bf16":
            raise UsageError("no bf16 here")
        return real(work)

    monkeypatch.setattr(settings, "ChunkVoter", counter)
    found = compare_settings(trained["ssn"], digits, own, seconds=0.01, listener=Listener())
    assert {one.error for one in found if one.spec.precision == "bf16"} == {"no bf16 here"}
    assert [one.passes_per_second is None for one in found] == [one.spec.precision == "bf16" for one in found]


def test_its_own_setting_has_to_work(trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path) -> None:
    own = run_of(trained["ssn"], digits).model_copy(update={"device": "cuda"})
    with pytest.raises(UsageError, match="no CUDA device is usable on this machine"):
        compare_settings(trained["ssn"], digits, own, seconds=0.01, listener=Listener())
