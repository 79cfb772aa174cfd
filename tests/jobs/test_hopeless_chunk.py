"""A chunk that fails whoever computes it: the run stops with the reason, and what is finished is kept."""

from pathlib import Path

import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.errors import IncompleteError
from rsbench.jobs.certify import run_certification
from rsbench.jobs.options import CertifyOptions
from rsbench.jobs.planning import plan_run
from rsbench.models.checkpoint import Checkpoint
from tests.fixtures.faulty import PoisonedImages
from tests.fixtures.results import rows_of
from tests.fixtures.trained import Listener, store_with

# In chunks of 9 images.
OPTIONS = CertifyOptions(images="first:60", n_select=64, n_estimate=5000, batch_size=720)


@pytest.mark.slow
def test_a_chunk_that_fails_three_times_stops_the_run_with_the_reason_and_the_rest_is_kept(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path, ray_nodes: str
) -> None:
    plan = plan_run(trained["uniform"], "x", digits, OPTIONS)
    assert plan.spec.chunk_images == 9
    with store_with(tmp_path / "whole", digits, trained["uniform"]) as store:
        run_certification(store, digits, [plan], workers=0, listener=Listener())
        [run] = store.sealed_runs()
        whole, seal = rows_of(store, run.id), run.seal
    with store_with(tmp_path / "poisoned", digits, trained["uniform"]) as store:
        with pytest.raises(IncompleteError) as error:
            run_certification(store, PoisonedImages(digits, 40), [plan], workers=1, listener=Listener())
        assert str(error.value) == (
            "images 36 to 44 failed 3 times (its worker died): what is finished is kept, and the same command resumes"
        )
        [run] = store.incomplete_runs()
        # One worker computes them in order, and what waits behind the poison dies with it each time.
        assert rows_of(store, run.id) == whole[:36]
        assert store.details(run.id).claim is None

        run_certification(store, digits, [plan], workers=1, listener=Listener())
        [run] = store.sealed_runs()
        assert rows_of(store, run.id) == whole
        assert run.seal == seal
