"""The same votes from this process and from any number of actors, whatever dies on the way."""

import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ray._private.state import actors  # the public list needs Ray's dashboard

from rsbench.certification.plan import all_chunks, batch_count
from rsbench.certification.voting import CertificationWork
from rsbench.cluster import scheduler
from rsbench.cluster.scheduler import vote_counting
from rsbench.data.dataset import ImageDataset, Pixels
from rsbench.errors import CheckpointError, IncompleteError
from rsbench.jobs.sweep import training_data
from rsbench.models.architectures import build_backbone
from rsbench.models.checkpoint import Checkpoint
from rsbench.models.networks import Normalized
from rsbench.records import Chunk, ChunkVotes
from rsbench.specs import CheckpointHeader, MeasureSpec
from rsbench.training.trainer import train
from rsbench.votes_format import encode_votes
from tests.benchmarks.stub_actors import stub_actors
from tests.fixtures.faulty import PoisonedImages
from tests.fixtures.trained import spec_for, trial
from tests.fixtures.untrained import spec


def work_for(checkpoint: Checkpoint, dataset: ImageDataset, **changes: object) -> CertificationWork:
    run = spec_for(checkpoint, dataset.info)
    return CertificationWork(type(run)(**(dict(run) | changes)), dataset.info, checkpoint)


def stored_votes(counted: Iterable[Sequence[ChunkVotes]]) -> dict[int, bytes]:
    """The votes of each image as the store keeps them."""
    return {
        index: encode_votes(chunk_votes.votes.counts_NRK)[i]
        for chunk_votes in chain.from_iterable(counted)
        for i, index in enumerate(chunk_votes.chunk.indices)
    }


def count_with(workers: int, work: CertificationWork, dataset: ImageDataset) -> dict[int, bytes]:
    with vote_counting(workers, "cpu") as count:
        return stored_votes(count(work, all_chunks(work.spec), dataset.pixels))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn", "dssn"])
def test_votes_are_equal_byte_for_byte_in_process_and_on_actors(
    method: str, trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    work = work_for(trained[method], digits)
    here = count_with(0, work, digits)
    assert sorted(here) == list(range(50))
    assert count_with(1, work, digits) == here
    assert count_with(3, work, digits) == here


@pytest.fixture(scope="module")
def convolutional(digits: ImageDataset) -> Checkpoint:
    """A convolutional network whose batch norms have seen images."""
    spec = trial(digits.info, "ssn", epochs=1).model_copy(update={"architecture": "cnn"})
    return train(spec, training_data(digits), "cpu", lambda _: None)


@pytest.mark.slow
def test_convolutions_with_batch_norm_give_the_same_bytes_on_any_number_of_workers(
    convolutional: Checkpoint, digits: ImageDataset, ray_nodes: str
) -> None:
    work = work_for(convolutional, digits, noise="philox4x32-grid", channels_last=True)
    here = count_with(0, work, digits)
    assert len(set(here.values())) > 25
    for workers in (1, 2, 5):
        assert count_with(workers, work, digits) == here


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ssn", "dssn"])
def test_fewer_chunks_than_workers_are_shared_among_them(
    method: str, trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    work = work_for(trained[method], digits, images="0:3:1", chunk_images=2, batch_size=32)
    here = count_with(0, work, digits)
    handed: list[int] = []

    def load(indices: Sequence[int]) -> Pixels:
        handed.append(len(indices))
        return digits.pixels(indices)

    with vote_counting(5, "cpu") as count:
        counted = list(chain.from_iterable(count(work, all_chunks(work.spec), load)))
    assert sorted(one.chunk.number for one in counted) == [0, 1]
    assert stored_votes([counted]) == here
    # Two chunks in three shares each; one image of dssn is only 27 copies, a single batch.
    assert handed == ([2, 2, 2, 1, 1, 1] if method == "ssn" else [2, 2, 1])


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 300), st.integers(1, 400), st.integers(1, 40))
def test_parts_hold_every_batch_of_every_chunk_once(
    images: int, chunk_images: int, n: int, batch_size: int, workers: int
) -> None:
    run = spec(images=f"0:{images}:1", chunk_images=chunk_images, n=n, batch_size=batch_size)
    chunks = all_chunks(run)
    parts = list(scheduler._divide(run, chunks, workers))
    for chunk in chunks:
        every = range(batch_count(run, len(chunk.indices)))
        held = [part.batches or every for part in parts if part.chunk == chunk]
        assert list(chain.from_iterable(held)) == list(every)
    assert len(chunks) <= len(parts) <= max(len(chunks), workers + len(chunks))


def test_the_order_of_chunks_changes_nothing(trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    work = work_for(trained["ssn"], digits)
    chunks = all_chunks(work.spec)
    with vote_counting(0, "cpu") as count:
        forwards = stored_votes(count(work, chunks, digits.pixels))
        backwards = stored_votes(count(work, chunks[::-1], digits.pixels))
    assert forwards == backwards


@pytest.mark.slow
def test_killing_an_actor_changes_nothing(trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str) -> None:
    """SIGKILL to a voting process after its first chunk: the chunks that it held are voted on again."""
    work = work_for(trained["uniform"], digits)
    undisturbed = count_with(0, work, digits)
    with vote_counting(2, "cpu") as count:
        counted = count(work, all_chunks(work.spec), digits.pixels)
        first = next(counted)
        os.kill(voting_process(), signal.SIGKILL)
        survived = stored_votes([first, *counted])
    assert survived == undisturbed


def voting_process() -> int:
    """The process of a voting actor that is alive, by Ray's own account."""
    alive = [a for a in actors().values() if a["ActorClassName"] == "VotingActor" and a["State"] == "ALIVE"]
    return int(alive[-1]["Pid"])


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7])
def test_many_actors_get_every_chunk_once_and_no_more_than_they_hold(
    size: int, trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    """What finished together comes together; a chunk is made when there is an actor for it."""
    work = work_for(trained["uniform"], digits)
    work = replace(work, spec=work.spec.model_copy(update={"images": "0:3000:1", "chunk_images": size}))
    made, stored = 0, list[int]()

    def chunks() -> Iterator[Chunk]:
        nonlocal made
        for chunk in all_chunks(work.spec):
            made += 1
            yield chunk

    with stub_actors(64, "cpu") as count:
        for together in count(work, chunks(), lambda indices: np.zeros((len(indices), 1, 8, 8), np.uint8)):
            # Two for each actor that are in flight, and one that tells that there is more to do.
            assert made <= len(stored) + 2 * 64 + 1
            assert 1 <= len(together) <= max(1, 500 // size)
            stored += [counted.chunk.number for counted in together]
    assert sorted(stored) == list(range(len(all_chunks(work.spec))))


@pytest.mark.slow
def test_a_network_that_returns_nan_is_refused_by_name(digits: ImageDataset, ray_nodes: str) -> None:
    header = broken_checkpoint(digits)
    for workers in (0, 1):
        with pytest.raises(CheckpointError, match=r"on images 0 to 7: the network returned NaN"):
            count_with(workers, work_for(header, digits), digits)


def broken_checkpoint(digits: ImageDataset) -> Checkpoint:
    backbone = build_backbone("mlp", 10, digits.info.shape)
    with torch.no_grad():
        next(backbone.parameters()).fill_(float("nan"))
    header = CheckpointHeader(
        architecture="mlp",
        classes=10,
        shape=digits.info.shape,
        mean=(0.3,),
        std=(0.4,),
        dataset="digits",
        dataset_fingerprint=digits.info.fingerprint,
        method="cohen",
        measure=MeasureSpec(family="gaussian", sigma=0.5),
    )
    return Checkpoint.pack(Normalized(backbone, header.mean, header.std), header)


@pytest.mark.slow
def test_a_chunk_that_kills_its_worker_three_times_stops_the_run_and_keeps_the_rest(
    trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    work = work_for(trained["uniform"], digits)
    chunks = all_chunks(work.spec)
    finished: list[ChunkVotes] = []
    with vote_counting(1, "cpu") as count, pytest.raises(IncompleteError, match="images 16 to 23 failed 3 times"):
        finished.extend(chain.from_iterable(count(work, chunks, PoisonedImages(digits, 17).pixels)))
    assert [counted.chunk.number for counted in finished][:2] == [0, 1]
