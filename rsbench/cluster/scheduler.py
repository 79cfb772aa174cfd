"""The certification scheduler: chunks to actors, votes back, whatever dies on the way."""

import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from rsbench.certification.votes import VoteCounter
from rsbench.certification.work import CertificationWork
from rsbench.cluster.actor import VotingActor, start_actor
from rsbench.cluster.session import ray_session, room
from rsbench.data.dataset import Pixels
from rsbench.errors import IncompleteError, RsbenchError, first_line
from rsbench.records import Chunk, ChunkVotes

LoadPixels = Callable[[Sequence[int]], Pixels]
CountChunks = Callable[[CertificationWork, Sequence[Chunk], LoadPixels], Iterator[ChunkVotes]]

# One chunk computes while the next is on its way.
_IN_FLIGHT = 2
_ATTEMPTS = 3
# Seconds without a single worker after which the user is told.
_PATIENCE = 15.0


@contextmanager
def vote_counting(workers: int, device: str) -> Iterator[CountChunks]:
    """A way to count votes: in this process for 0 workers, else on that many actors, which serve run after run.

    The votes are the same either way. They are yielded as chunks finish, in any order.
    """
    if workers == 0:
        yield _count_in_process
        return
    # Ray has a screen to say, on stdout, of each worker and node that dies; what matters of it is told below.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), ray_session(workers):
        actors = [start_actor(device) for _ in range(workers)]
        try:
            yield _Pool(actors).count
        finally:
            for actor in actors:
                ray.kill(actor)


def _count_in_process(work: CertificationWork, chunks: Sequence[Chunk], load: LoadPixels) -> Iterator[ChunkVotes]:
    counter = VoteCounter(work)
    for chunk in chunks:
        yield counter.count(chunk, load(chunk.indices))


class _Pool:
    """Hands chunks to the actors that run, however many of those that were asked for do.

    An actor gets chunks once it has answered a first call, and again once it has answered after its death: one for
    which the cluster has no room never holds a chunk. Ray's own retries are off; a chunk whose actor died is queued
    again here, and any actor may take it.
    """

    def __init__(self, actors: Sequence[ActorHandle[VotingActor]]) -> None:
        self._actors = actors
        self._ready: set[int] = set()
        self._starting: dict[ray.ObjectRef[None], int] = {}
        self._failed_starts: Counter[int] = Counter()
        for number in range(len(actors)):
            self._call(number)

    def count(self, work: CertificationWork, chunks: Sequence[Chunk], load: LoadPixels) -> Iterator[ChunkVotes]:
        """The votes of the chunks. Raises what the run will always fail with, or IncompleteError."""
        work_ref = ray.put(work)
        fingerprint = work.spec.fingerprint()
        waiting = deque(chunks)
        attempts: Counter[int] = Counter()
        in_flight: dict[ray.ObjectRef[ChunkVotes], tuple[int, Chunk]] = {}
        while waiting or in_flight:
            while waiting and (number := self._least_busy(in_flight.values())) is not None:
                chunk = waiting.popleft()
                ref: ray.ObjectRef[ChunkVotes] = self._actors[number].count.remote(
                    fingerprint, [work_ref], chunk, load(chunk.indices)
                )
                in_flight[ref] = (number, chunk)
            finished = self._wait([*in_flight, *self._starting])
            if finished in self._starting:
                self._answered(finished)
                continue
            number, chunk = in_flight[finished]
            held = {finished: chunk}
            try:
                counted = ray.get(finished)
            except RayActorError as error:
                # An actor runs its chunks in order: of those that died with it, only the first was running.
                held = {ref: held_chunk for ref, (n, held_chunk) in in_flight.items() if n == number}
                lost = []
                for ref, held_chunk in held.items():
                    try:
                        yield ray.get(ref)
                    except RayError:
                        lost.append(held_chunk)
                attempts[lost[0].number] += 1
                _refuse_hopeless(error, lost[0], attempts[lost[0].number])
                print(
                    f"a worker died: {sum(len(c.indices) for c in lost)} images are handed out again", file=sys.stderr
                )
                waiting.extendleft(reversed(lost))
                if number in self._ready:
                    self._ready.remove(number)
                    self._call(number)
            except RayError as error:
                attempts[chunk.number] += 1
                _refuse_hopeless(error, chunk, attempts[chunk.number])
                waiting.appendleft(chunk)
            else:
                yield counted
            for ref in held:
                del in_flight[ref]

    def _wait(self, refs: "list[ray.ObjectRef[Any]]") -> "ray.ObjectRef[Any]":
        finished, _ = ray.wait(refs, num_returns=1, timeout=_PATIENCE if not self._ready else None)
        if not finished:
            # A cluster that grows on demand may need minutes for its first worker.
            print(f"waiting for Ray to start a worker; the cluster has {room()}", file=sys.stderr, flush=True)
            finished, _ = ray.wait(refs, num_returns=1)
        return finished[0]

    def _call(self, number: int) -> None:
        self._starting[self._actors[number].ready.remote()] = number

    def _answered(self, ref: "ray.ObjectRef[None]") -> None:
        number = self._starting.pop(ref)
        try:
            ray.get(ref)
        except RayError as error:
            self._failed_starts[number] += 1
            if self._failed_starts[number] >= _ATTEMPTS:
                reason = first_line(error)
                raise IncompleteError(
                    f"a worker did not start {_ATTEMPTS} times ({reason}): is this rsbench installed on every node?"
                ) from error
            self._call(number)
            return
        self._ready.add(number)

    def _least_busy(self, in_flight: Iterable[tuple[int, Chunk]]) -> int | None:
        """The actor with the fewest chunks, None when all that run have as many as they may."""
        busy = Counter(number for number, _ in in_flight)
        number = min(self._ready, key=lambda n: (busy[n], n), default=None)
        return None if number is None or busy[number] >= _IN_FLIGHT else number


def _refuse_hopeless(error: RayError, chunk: Chunk, attempts: int) -> None:
    """Raises what a chunk will always fail with; returns when another attempt may succeed."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RsbenchError):
        raise cause
    if attempts >= _ATTEMPTS:
        reason = "its worker died" if isinstance(error, RayActorError) else first_line(cause)
        raise IncompleteError(
            f"images {chunk.indices[0]} to {chunk.indices[-1]} failed {attempts} times ({reason}): what is finished is "
            "kept, and the same command resumes"
        ) from error
