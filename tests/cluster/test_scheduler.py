"""Votes are the same from this process and from any number of actors, whatever dies on the way."""

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
    """The encoded votes of each image, as the store keeps them."""
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
    in_process = count_with(0, work, digits)
    assert sorted(in_process) == list(range(50))
    assert count_with(1, work, digits) == in_process
    assert count_with(3, work, digits) == in_process


@pytest.fixture(scope="module")
def convolutional(digits: ImageDataset) -> Checkpoint:
    """A convolutional network with trained batch normalisation."""
    spec = trial(digits.info, "ssn", epochs=1).model_copy(update={"architecture": "cnn"})
    return train(spec, training_data(digits), "cpu", lambda _: None)


@pytest.mark.slow
def test_convolutional_networks_give_the_same_bytes_on_any_number_of_workers(
    convolutional: Checkpoint, digits: ImageDataset, ray_nodes: str
) -> None:
    work = work_for(convolutional, digits, noise="philox4x32-grid", channels_last=True)
    in_process = count_with(0, work, digits)
    assert len(set(in_process.values())) > 25
    for workers in (1, 2, 5):
        assert count_with(workers, work, digits) == in_process


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ssn", "dssn"])
def test_chunks_are_divided_when_there_are_fewer_than_workers(
    method: str, trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    work = work_for(trained[method], digits, images="0:3:1", chunk_images=2, batch_size=32)
    in_process = count_with(0, work, digits)
    loaded_images: list[int] = []

    def load(indices: Sequence[int]) -> Pixels:
        loaded_images.append(len(indices))
        return digits.pixels(indices)

    with vote_counting(5, "cpu") as count:
        counted = list(chain.from_iterable(count(work, all_chunks(work.spec), load)))
    assert sorted(chunk_votes.chunk.number for chunk_votes in counted) == [0, 1]
    assert stored_votes([counted]) == in_process
    # Two chunks in three parts each; one image of dssn has only 27 copies, a single batch.
    assert loaded_images == ([2, 2, 2, 1, 1, 1] if method == "ssn" else [2, 2, 1])


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 300), st.integers(1, 400), st.integers(1, 40))
def test_parts_contain_every_batch_of_every_chunk_once(
    images: int, chunk_images: int, n: int, batch_size: int, workers: int
) -> None:
    run = spec(images=f"0:{images}:1", chunk_images=chunk_images, n=n, batch_size=batch_size)
    chunks = all_chunks(run)
    parts = list(scheduler._divide(run, chunks, workers))
    for chunk in chunks:
        all_batches = range(batch_count(run, len(chunk.indices)))
        in_parts = [part.batches or all_batches for part in parts if part.chunk == chunk]
        assert list(chain.from_iterable(in_parts)) == list(all_batches)
    assert len(chunks) <= len(parts) <= max(len(chunks), workers + len(chunks))


def test_votes_do_not_depend_on_the_order_of_chunks(trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    work = work_for(trained["ssn"], digits)
    chunks = all_chunks(work.spec)
    with vote_counting(0, "cpu") as count:
        forwards = stored_votes(count(work, chunks, digits.pixels))
        backwards = stored_votes(count(work, chunks[::-1], digits.pixels))
    assert forwards == backwards


@pytest.mark.slow
def test_votes_do_not_change_when_an_actor_is_killed(
    trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    """A voting process receives SIGKILL after its first chunk, and its other chunks are voted on again."""
    work = work_for(trained["uniform"], digits)
    undisturbed = count_with(0, work, digits)
    with vote_counting(2, "cpu") as count:
        counted = count(work, all_chunks(work.spec), digits.pixels)
        first = next(counted)
        os.kill(voting_process(), signal.SIGKILL)
        disturbed = stored_votes([first, *counted])
    assert disturbed == undisturbed


def voting_process() -> int:
    """The process of a voting actor that runs, as Ray lists it."""
    alive = [a for a in actors().values() if a["ActorClassName"] == "VotingActor" and a["State"] == "ALIVE"]
    return int(alive[-1]["Pid"])


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7])
def test_chunks_are_handed_out_once_and_made_only_when_an_actor_is_free(
    size: int, trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    """Chunks that finished together are yielded together."""
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
            # Two in flight for each actor, and one that shows that there is more to do.
            assert made <= len(stored) + 2 * 64 + 1
            assert 1 <= len(together) <= max(1, 500 // size)
            stored += [counted.chunk.number for counted in together]
    assert sorted(stored) == list(range(len(all_chunks(work.spec))))


@pytest.mark.slow
def test_a_network_that_returns_nan_raises_with_the_images(digits: ImageDataset, ray_nodes: str) -> None:
    checkpoint = broken_checkpoint(digits)
    for workers in (0, 1):
        with pytest.raises(CheckpointError, match=r"on images 0 to 7: the network returned NaN"):
            count_with(workers, work_for(checkpoint, digits), digits)


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
def test_a_chunk_that_kills_its_worker_three_times_ends_the_run(
    trained: dict[str, Checkpoint], digits: ImageDataset, ray_nodes: str
) -> None:
    work = work_for(trained["uniform"], digits)
    chunks = all_chunks(work.spec)
    finished: list[ChunkVotes] = []
    with vote_counting(1, "cpu") as count, pytest.raises(IncompleteError, match="images 16 to 23 failed 3 times"):
        finished.extend(chain.from_iterable(count(work, chunks, PoisonedImages(digits, 17).pixels)))
    assert [counted.chunk.number for counted in finished][:2] == [0, 1]
