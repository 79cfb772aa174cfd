"""Noise in whole numbers and in float32: the same certified accuracy within the error of sampling."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from rsbench.data.dataset import ImageDataset
from rsbench.errors import UsageError
from rsbench.jobs.certify import run_certification
from rsbench.jobs.options import CertifyOptions, SweepOptions
from rsbench.jobs.planning import plan_run
from rsbench.jobs.sweep import plan_sweep, sweep
from rsbench.models.checkpoint import Checkpoint
from rsbench.records import IntArray
from rsbench.votes_format import decode_votes
from tests.fixtures.trained import Listener, store_with

N = 1000


@pytest.mark.statistical
@pytest.mark.parametrize("method", ["uniform", "ssn"])
def test_both_certify_the_same_within_the_error_of_sampling(
    method: str, trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    votes: dict[str, IntArray] = {}
    with store_with(tmp_path, digits, trained[method]) as store:
        for arithmetic in ("grid", "float"):
            options = CertifyOptions(n_estimate=N, noise_arithmetic=arithmetic)
            run_certification(
                store, digits, [plan_run(trained[method], "x", digits, options)], workers=0, listener=Listener()
            )
        for run in store.sealed_runs():
            rows = store.image_columns(run.id, with_votes=True)
            assert rows.votes is not None
            counts_NK = decode_votes(rows.votes)[:, -1]
            votes["grid" if run.spec.uses_integer_noise else "float"] = counts_NK[
                np.arange(len(counts_NK)), rows.label_N
            ]
            assert run.curve is not None
    # Two binomial counts for each image. Noise of whole numbers is wider by a step of 1/1024 at most.
    share_N, other_N = votes["grid"] / N, votes["float"] / N
    mean_N = (share_N + other_N) / 2
    spread = np.sqrt((2 * mean_N * (1 - mean_N) / N).sum()) / len(mean_N)
    assert abs((share_N - other_N).mean()) < norm.isf(1e-6) * spread
    # And image by image, with a correction for as many images.
    assert (np.abs(share_N - other_N) < norm.isf(1e-6 / len(mean_N)) * np.sqrt(2 * 0.25 / N)).all()


def test_whole_numbers_are_the_default_where_they_can_be(trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    def noise(method: str, **options: Any) -> str:
        return plan_run(trained[method], "x", digits, CertifyOptions(**options)).spec.noise

    assert noise("uniform") == noise("ssn") == "philox4x32-grid"
    assert noise("cohen") == noise("uniform", noise_arithmetic="float") == "philox4x32-float"
    assert noise("dssn") == noise("dssn", noise_arithmetic="float") == "enumerated"
    with pytest.raises(UsageError, match="--noise-arithmetic grid: gaussian noise is no whole number: leave it out"):
        noise("cohen", noise_arithmetic="grid")


def test_noise_too_wide_for_integers_is_refused_before_it_is_trained(digits: ImageDataset, tmp_path: Path) -> None:
    options = SweepOptions(methods=("ssn",), sigmas=(600.0,), seeds=(0,), epochs=1, certify=CertifyOptions())
    with pytest.raises(UsageError, match=r"sigma 600 on digits: .* lower sigma, or use --noise-arithmetic float"):
        sweep(options, digits, str(tmp_path / "results.db"), tmp_path, workers=0, listener=Listener())
    assert list(tmp_path.iterdir()) == []
    plan_sweep(replace(options, certify=CertifyOptions(noise_arithmetic="float")), digits)
    with pytest.raises(UsageError, match="--noise-arithmetic grid: gaussian"):
        plan_sweep(replace(options, methods=("cohen",), certify=CertifyOptions(noise_arithmetic="grid")), digits)
