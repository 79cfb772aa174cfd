"""The actor that votes on chunks. It keeps nothing that a result hangs on: a restarted one gives the same votes."""

from typing import Any

import ray
from ray.actor import ActorHandle

from rsbench.certification.votes import VoteCounter
from rsbench.certification.work import CertificationWork
from rsbench.data.dataset import Pixels
from rsbench.records import Chunk, ChunkVotes


class VotingActor:
    """Votes with one network at a time, which it keeps until it is asked for another run's."""

    def __init__(self) -> None:
        self._fingerprint: str | None = None
        self._counter: VoteCounter | None = None

    # The one call that Ray may repeat: it waits until an actor that died runs again.
    @ray.method(max_task_retries=-1)
    def ready(self) -> None:
        """Answers when the actor runs."""

    def count(
        self,
        fingerprint: str,
        work: "list[ray.ObjectRef[CertificationWork]]",
        chunk: Chunk,
        pixels_NCHW: Pixels,
        batches: range | None = None,
    ) -> ChunkVotes:
        """The votes of a chunk of the run `fingerprint`, or of some of its batches.

        The run's work is fetched on its first chunk only.
        """
        if self._counter is None or self._fingerprint != fingerprint:
            self._counter = VoteCounter(ray.get(work[0]))
            self._fingerprint = fingerprint
        return self._counter.count(chunk, pixels_NCHW, batches)


def start_actor(device: str) -> ActorHandle[VotingActor]:
    """A new actor with a core, and a GPU where the run needs one. Ray restarts it when it dies, but retries nothing."""
    gpus = 1 if device == "cuda" else 0
    remote: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_task_retries=0)(VotingActor)
    handle: ActorHandle[VotingActor] = remote.remote()
    return handle
