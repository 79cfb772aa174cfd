"""What else a certification can say of its votes."""

from typing import Any

import numpy as np
import pytest
import torch

import rsbench
from rsbench.data.dataset import ImageDataset
from rsbench.models.checkpoint import Checkpoint

COUNT = 30


@pytest.fixture(scope="module")
def uniform(trained: dict[str, Checkpoint], digits: ImageDataset) -> rsbench.Certification:
    """Digits that were certified under uniform noise."""
    network = trained["uniform"].network(torch.device("cpu"))
    return rsbench.certify(
        network, digits.pixels(range(COUNT)), digits.labels_N[:COUNT], measure=rsbench.uniform(0.5), q=16, n=250, n0=32,
        device="cpu",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "function"),
    [
        ({"certificate": "box-log"}, rsbench.certificates.box_log),
        ({"alpha": 0.05}, rsbench.certificates.lee),
        ({"certificate": "box", "bounds": "top-two", "alpha": 0.01}, rsbench.certificates.box),
        ({"certificate": "box-image"}, rsbench.certificates.box_image),
        ({"n": 100, "alpha": 0.05}, rsbench.certificates.lee),
    ],
)
def test_recertification_is_the_certificate_of_the_same_votes(
    uniform: rsbench.Certification, digits: ImageDataset, changes: dict[str, Any], function: Any
) -> None:
    result = uniform.recertify(**changes)
    for name, value in changes.items():
        assert getattr(result, name) == value
    assert result.images.filter(like="votes_").sum(axis=1).unique() == [result.n]
    radii = function(
        result.votes_NK, sigma=0.5, alpha=result.alpha, bounds=result.bounds, dims=64,
        selected=uniform.selection_votes_NK.argmax(axis=1), images=digits.pixels(range(COUNT)), q=16,
    )  # fmt: skip
    np.testing.assert_array_equal(result.images["radius"].to_numpy(), np.minimum(radii, 64.0))
    assert not (result.images["radius"] == uniform.images["radius"]).all()
    # And back again.
    again = result.recertify(certificate="lee", n=250, alpha=0.001, bounds="one-versus-rest")
    np.testing.assert_array_equal(again.images["radius"].to_numpy(), uniform.images["radius"].to_numpy())
    assert again.average_certified_radius == uniform.average_certified_radius


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"certificate": "nope"}, "certificate 'nope' is not known here: choose from lee"),
        ({"certificate": "cohen"}, "cohen does not hold for the uniform noise of the certification"),
        ({"n": 37}, "no votes at n = 37: choose from 100, 250"),
        ({"alpha": 2.0}, "^alpha 2.0: give a number between 0 and 1"),
        ({"n": 100, "alpha": 1e-40}, "^n 100 certifies no image at alpha 1e-40"),
        ({"bounds": "both"}, "bounds 'both': choose from one-versus-rest, top-two"),
    ],
)
def test_what_cannot_be_recertified_is_one_line(
    uniform: rsbench.Certification, changes: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(rsbench.UsageError, match=complaint) as refusal:
        uniform.recertify(**changes)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("radius", ["far", -1.0, float("nan"), float("inf"), "-0.5"])
def test_a_radius_that_is_none_is_refused(uniform: rsbench.Certification, radius: Any) -> None:
    with pytest.raises(rsbench.UsageError, match="radius"):
        uniform.certified_accuracy(radius)


def test_a_closed_ball_is_certified_at_its_own_radius(trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    network = trained["dssn"].network(torch.device("cpu"))
    measure = rsbench.deterministic_splitting(0.5, q=16)
    result = rsbench.certify(network, digits, measure=measure, subset=f"first:{COUNT}", device="cpu")
    assert (result.ball, result.alpha, result.n) == ("closed", None, 27)
    radius = result.images["radius"][result.images["correct"]].max()
    assert result.certified_accuracy(radius) > 0.0
    assert result.certified_accuracy(float(np.nextafter(radius, 1.0))) == 0.0
    np.testing.assert_array_equal(
        result.images["radius"].to_numpy(), np.asarray(rsbench.certificates.dssn(result.votes_NK, q=16))
    )
    assert result.recertify().images.equals(result.images)
