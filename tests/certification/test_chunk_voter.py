"""Voting on chunks: the votes are those of the keyed noisy copies, however the chunk is divided."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsbench.certification.plan import all_chunks, batch_count
from rsbench.certification.voting import CertificationWork, ChunkVoter
from rsbench.data.dataset import unit_images
from rsbench.errors import CheckpointError, UsageError
from rsbench.methods import METHODS
from rsbench.records import Chunk, IntArray
from rsbench.smoothing.build import build_measure
from rsbench.smoothing.measures import EnumeratedMeasure
from rsbench.smoothing.randomness import KeyedRandom, Stage
from tests.fixtures.smoothing import numbered_copies
from tests.fixtures.untrained import INFO, checkpoint, counter, images, spec


class ShapeRecorder(nn.Module):
    """Records the shapes of the batches that a network receives."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, x_BCHW: Tensor) -> Tensor:
        self.shapes.append(tuple(x_BCHW.shape))
        logits_BK: Tensor = self._network(x_BCHW)
        return logits_BK


SAMPLED = [name for name, method in METHODS.items() if not method.is_enumerated]
CHUNK = Chunk(0, (0, 7, 19))


def votes_of(chunk: Chunk, method: str = "cohen", **changes: object) -> IntArray:
    """N×R×K votes of one chunk of the tiny images."""
    counted = counter(spec(method, **changes)).count(chunk, images()[list(chunk.indices)])  # type: ignore[arg-type]
    assert counted.chunk == chunk
    assert counted.seconds > 0
    return counted.votes.counts_NRK


@pytest.mark.parametrize("method", SAMPLED)
def test_vote_rows_are_the_selection_and_then_each_prefix(method: str) -> None:
    counts_NRK = votes_of(CHUNK, method, n=250)
    assert counts_NRK.shape == (3, 3, INFO.classes)
    np.testing.assert_array_equal(counts_NRK.sum(axis=2), [[20, 100, 250]] * 3)
    assert (np.diff(counts_NRK[:, 1:], axis=1) >= 0).all()
    counted = counter(spec(method, n=250)).count(CHUNK, images()[list(CHUNK.indices)])
    assert counted.votes.prefixes == (100, 250)
    np.testing.assert_array_equal(counted.votes.selection_NK, counts_NRK[:, 0])
    np.testing.assert_array_equal(counted.votes.estimation_NK, counts_NRK[:, 2])


@pytest.mark.parametrize("method", SAMPLED)
def test_votes_equal_those_of_the_keyed_copies_one_by_one(method: str) -> None:
    run = spec(method, n=250)
    network = checkpoint(method).network(torch.device("cpu"))
    measure = build_measure(run.measure, q=INFO.q, shape_CHW=INFO.shape)
    expected = np.zeros((2, INFO.classes), dtype=np.int64)
    x_CHW = unit_images(images()[7:8], INFO.q)[0]
    for row, stage, n in ((0, Stage.SELECT, 20), (1, Stage.ESTIMATE, 250)):
        copies_BCHW = measure.perturb(x_CHW.expand(n, *INFO.shape), KeyedRandom.of(0, stage, 7, range(n)))
        for copy_CHW in copies_BCHW:
            expected[row, int(network(copy_CHW[None]).argmax())] += 1
    counts_RK = votes_of(Chunk(0, (7,)), method)[0]
    np.testing.assert_array_equal(counts_RK[[0, 2]], expected)
    # The untrained network votes for several classes, so the comparison is meaningful.
    assert (expected[1] > 0).sum() > 1


def test_the_first_votes_of_a_longer_run_are_those_of_a_shorter_one() -> None:
    long = votes_of(CHUNK, n=1100)
    for n, row in ((100, 1), (1000, 2)):
        short = votes_of(CHUNK, n=n)
        np.testing.assert_array_equal(short[:, -1], long[:, row])
        np.testing.assert_array_equal(short[:, 0], long[:, 0])


def test_selection_and_estimation_use_different_noise() -> None:
    # The same number of votes each, from an untrained network that votes for several classes: with one stream for both,
    # the rows of all images would be equal.
    counts_NRK = counter(spec(n=20)).count(Chunk(0, tuple(range(10))), images()[:10]).votes.counts_NRK
    np.testing.assert_array_equal(counts_NRK.sum(axis=2), [[20, 20]] * 10)
    assert not np.array_equal(counts_NRK[:, 0], counts_NRK[:, 1])


@pytest.mark.parametrize("method", ["cohen", "dssn"])
@pytest.mark.parametrize("boundaries", [(5,), (1, 2, 9), (3, 3, 10)])
def test_the_votes_of_parts_sum_to_those_of_the_chunk(method: str, boundaries: tuple[int, ...]) -> None:
    run = spec(method, 1.5)
    batches = batch_count(run, 3)
    ends = [0, *(min(boundary, batches) for boundary in boundaries), batches]
    parts = [
        counter(run).count(CHUNK, images()[list(CHUNK.indices)], range(first, last)).votes.counts_NRK
        for first, last in pairwise(ends)
    ]
    np.testing.assert_array_equal(sum(parts), votes_of(CHUNK, method, sigma=1.5))


def test_all_batches_have_one_shape() -> None:
    run = spec()
    voter = counter(run)
    voter.network = network = ShapeRecorder(voter.network)
    voter.count(CHUNK, images()[list(CHUNK.indices)])
    # 3 × (20 + 250) copies in batches of 64.
    assert network.shapes == [(64, *INFO.shape)] * 13


@pytest.mark.parametrize("method", ["uniform", "ssn"])
def test_integer_noise_gives_other_votes_than_float_noise(method: str) -> None:
    integer_NRK, float_NRK = votes_of(CHUNK, method, noise="philox4x32-grid"), votes_of(CHUNK, method)
    np.testing.assert_array_equal(integer_NRK.sum(axis=2), float_NRK.sum(axis=2))
    assert not np.array_equal(integer_NRK, float_NRK)


def test_runs_with_the_noise_of_early_releases_raise() -> None:
    with pytest.raises(UsageError, match="early release"):
        counter(spec(noise="philox-block100-float32"))
    with pytest.raises(UsageError, match="early release"):
        counter(spec("dssn", noise="philox-block100-float32"))


def test_integer_noise_raises_for_images_off_the_grid() -> None:
    with pytest.raises(UsageError, match=r"--noise-arithmetic float"):
        counter(spec("ssn", noise="philox4x32-grid"), replace(INFO, q=16)).count(
            Chunk(0, (0,)), np.full((1, *INFO.shape), 0.3, dtype=np.float32)
        )


@pytest.mark.parametrize("method", ["cohen", "dssn"])
def test_votes_do_not_depend_on_the_order_of_the_chunks(method: str) -> None:
    run = spec(method)
    chunks = all_chunks(run)
    forwards, backwards = counter(run), counter(run)
    expected = {c.number: forwards.count(c, images()[list(c.indices)]).votes.counts_NRK for c in chunks}
    reversed_order = {
        c.number: backwards.count(c, images()[list(c.indices)]).votes.counts_NRK for c in reversed(chunks)
    }
    assert len(expected) == 5
    for number, counts_NRK in expected.items():
        np.testing.assert_array_equal(counts_NRK, reversed_order[number])


def test_votes_of_an_image_do_not_depend_on_its_chunk() -> None:
    together, alone = votes_of(CHUNK), votes_of(Chunk(3, (19,)))
    np.testing.assert_array_equal(together[2], alone[0])


def test_another_seed_or_image_gives_other_votes() -> None:
    # Thirty images with 250 votes each cannot all be equal by chance.
    many = Chunk(0, tuple(range(30)))
    assert not np.array_equal(votes_of(many), votes_of(many, seed=1))
    same_image = images()[[0] * 30]
    counts_NRK = counter(spec()).count(many, same_image).votes.counts_NRK
    assert len(np.unique(counts_NRK[:, -1], axis=0)) > 1


def test_enumerated_votes_are_those_of_all_bases() -> None:
    run = spec("dssn", 0.5)
    counts_NRK = votes_of(CHUNK, "dssn")
    assert counts_NRK.shape == (3, 2, INFO.classes)
    assert not counts_NRK[:, 0].any()
    np.testing.assert_array_equal(counts_NRK[:, 1].sum(axis=1), [27] * 3)
    network = checkpoint("dssn").network(torch.device("cpu"))
    measure = build_measure(run.measure, q=INFO.q, shape_CHW=INFO.shape)
    assert isinstance(measure, EnumeratedMeasure)
    winners = network(numbered_copies(measure, unit_images(images()[7:8], INFO.q)[0], 0, 27)).argmax(dim=1)
    np.testing.assert_array_equal(counts_NRK[1, 1], np.bincount(winners.numpy(), minlength=INFO.classes))


def test_more_levels_than_rows_of_a_batch_are_all_evaluated() -> None:
    counts_NRK = votes_of(Chunk(0, (3,)), "dssn", sigma=4.0)
    assert counts_NRK[0, 1].sum() == 221


def test_deterministic_splitting_raises_for_images_outside_the_unit_box() -> None:
    with pytest.raises(UsageError, match=r"images 0 to 0 of tiny: DSSN .* outside"):
        counter(spec("dssn")).count(Chunk(0, (0,)), np.full((1, *INFO.shape), 17, dtype=np.uint8))


def test_a_network_that_returns_nan_raises() -> None:
    run = spec()
    broken = ChunkVoter(CertificationWork(run, INFO, checkpoint(scale=float("nan"))))
    with pytest.raises(CheckpointError, match=r"images 0 to 19: the network returned NaN or infinity"):
        broken.count(CHUNK, images()[[0, 7, 19]])


def test_a_network_for_another_number_of_classes_raises() -> None:
    with pytest.raises(CheckpointError, match=r"\(64, 4\), expected \(64, 5\)"):
        counter(spec(), replace(INFO, classes=5)).count(CHUNK, images()[[0, 7, 19]])
