"""The certification scheduler: chunks to actors, votes back, whatever dies on the way."""

import math
import os
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from rsbench.certification.plan import batches_of
from rsbench.certification.votes import VoteCounter, added_up
from rsbench.certification.work import CertificationWork
from rsbench.cluster.actor import VotingActor, start_actor
from rsbench.cluster.session import ray_session, room
from rsbench.data.dataset import Pixels
from rsbench.errors import IncompleteError, RsbenchError, first_line
from rsbench.records import Chunk, ChunkVotes
from rsbench.specs import CertificationSpec

LoadPixels = Callable[[Sequence[int]], Pixels]
CountChunks = Callable[[CertificationWork, Iterable[Chunk], LoadPixels], Iterator[Sequence[ChunkVotes]]]
# A way to count votes, for so many workers on a device.
Counting = Callable[[int, str], AbstractContextManager[CountChunks]]
StartActor = Callable[[str], ActorHandle[VotingActor]]

# One chunk computes while the next is on its way.
_IN_FLIGHT = 2
# Images whose chunks are yielded together when they have all finished: so many that what each writing costs by itself
# is little, and so few that their votes fit into memory with a thousand classes.
_TOGETHER = 500
_ATTEMPTS = 3
# Seconds without a single worker after which the user is told.
_PATIENCE = 15.0


@contextmanager
def vote_counting(workers: int, device: str, *, start: StartActor = start_actor) -> Iterator[CountChunks]:
    """A way to count votes: in this process for 0 workers, else on that many actors, which serve run after run.

    The votes are the same either way. Chunks are yielded as they finish, in any order, and together where several have
    finished meanwhile. `start` makes an actor.
    """
    if workers == 0:
        yield _count_in_process
        return
    # Ray has a screen to say, on stdout, of each worker and node that dies; what matters of it is told below.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), ray_session(workers):
        actors = [start(device) for _ in range(workers)]
        try:
            yield _Pool(actors).count
        finally:
            for actor in actors:
                ray.kill(actor)


def _count_in_process(
    work: CertificationWork, chunks: Iterable[Chunk], load: LoadPixels
) -> Iterator[Sequence[ChunkVotes]]:
    counter = VoteCounter(work)
    for chunk in chunks:
        yield [counter.count(chunk, load(chunk.indices))]


@dataclass(frozen=True)
class _Part:
    """Some batches of a chunk: what one call of an actor counts. None stands for all of them."""

    chunk: Chunk
    batches: range | None = None


def _parts(spec: CertificationSpec, chunks: Iterable[Chunk], workers: int) -> Iterator[_Part]:
    """Whole chunks; where they are fewer than workers, each in so many ranges of its batches that all have work."""
    rest = iter(chunks)
    first = list(islice(rest, workers))
    shares = math.ceil(workers / len(first)) if first else 1
    for chunk in chain(first, rest):
        batches = batches_of(spec, len(chunk.indices))
        share = math.ceil(batches / shares)
        if share == batches:
            yield _Part(chunk)
            continue
        for start in range(0, batches, share):
            yield _Part(chunk, range(start, min(start + share, batches)))


class _Assembly:
    """Puts the parts of chunks together."""

    def __init__(self, spec: CertificationSpec) -> None:
        self._spec = spec
        self._held: dict[Chunk, list[ChunkVotes]] = defaultdict(list)

    def add(self, counted: Iterable[ChunkVotes]) -> list[ChunkVotes]:
        """The chunks that are whole now that these have come."""
        whole = []
        for votes in counted:
            parts = self._held[votes.chunk]
            parts.append(votes)
            if sum(part.batches for part in parts) == batches_of(self._spec, len(votes.chunk.indices)):
                whole.append(added_up(self._held.pop(votes.chunk)))
        return whole


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

    def count(
        self, work: CertificationWork, chunks: Iterable[Chunk], load: LoadPixels
    ) -> Iterator[Sequence[ChunkVotes]]:
        """The votes of the chunks. Raises what the run will always fail with, or IncompleteError."""
        work_ref = ray.put(work)
        fingerprint = work.spec.fingerprint()
        together = max(1, _TOGETHER // work.spec.chunk_images)
        fresh, waiting = _parts(work.spec, chunks, len(self._actors)), deque[_Part]()
        attempts: Counter[_Part] = Counter()
        in_flight: dict[ray.ObjectRef[ChunkVotes], tuple[int, _Part]] = {}
        assembly = _Assembly(work.spec)
        while True:
            free = self._free(Counter(number for number, _ in in_flight.values()))
            # One more than can be handed out tells whether there is more to do.
            waiting.extend(islice(fresh, max(0, 1 + len(free) - len(waiting))))
            if not waiting and not in_flight:
                return
            for number in free[: len(waiting)]:
                part = waiting.popleft()
                ref: ray.ObjectRef[ChunkVotes] = self._actors[number].count.remote(
                    fingerprint, [work_ref], part.chunk, load(part.chunk.indices), part.batches
                )
                in_flight[ref] = (number, part)
            counted, failed = _results(self._wait(in_flight, at_most=together))
            # No chunk is handed out until these are stored: a death of this process costs what was in flight, no more.
            if whole := assembly.add(counted.values()):
                yield whole
            for ref in counted:
                del in_flight[ref]
            for ref, error in failed.items():
                if ref not in in_flight:
                    continue  # it was lost with another chunk of its actor
                number, _ = in_flight[ref]
                held = [ref]
                if isinstance(error, RayActorError):
                    # An actor runs its chunks in order: of those that died with it, only the first was running.
                    held = [ref for ref, (n, _) in in_flight.items() if n == number]
                late, died = _results(held)
                if whole := assembly.add(late.values()):
                    yield whole
                lost = [in_flight[ref][1] for ref in died]
                attempts[lost[0]] += 1
                _refuse_hopeless(error, lost[0].chunk, attempts[lost[0]])
                waiting.extendleft(reversed(lost))
                for ref in held:
                    del in_flight[ref]
                if isinstance(error, RayActorError):
                    images = len({index for part in lost for index in part.chunk.indices})
                    print(f"a worker died: {images} images are handed out again", file=sys.stderr)
                    if number in self._ready:
                        self._ready.remove(number)
                        self._call(number)

    def _wait(self, in_flight: "Iterable[ray.ObjectRef[ChunkVotes]]", *, at_most: int) -> "list[ray.ObjectRef[Any]]":
        """Calls in flight that have finished, the oldest first; none when it was an actor that began to run."""
        refs: list[ray.ObjectRef[Any]] = [*self._starting, *in_flight]
        finished, _ = ray.wait(refs, num_returns=1, timeout=_PATIENCE if not self._ready else None)
        if not finished:
            # A cluster that grows on demand may need minutes for its first worker.
            print(f"waiting for Ray to start a worker; the cluster has {room()}", file=sys.stderr, flush=True)
            finished, _ = ray.wait(refs, num_returns=1)
        if at_most > 1:
            finished, _ = ray.wait(refs, num_returns=min(at_most, len(refs)), timeout=0)
        counted = [ref for ref in finished if ref not in self._starting]
        for ref in finished:
            if ref in self._starting:
                self._answered(ref)
        return counted

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
        del self._failed_starts[number]
        self._ready.add(number)

    def _free(self, busy: Counter[int]) -> list[int]:
        """The actors that run, once for each chunk that they may still have, those with the fewest first."""
        return [n for _, n in sorted((held, n) for n in self._ready for held in range(busy[n], _IN_FLIGHT))]


def _results(
    refs: "Sequence[ray.ObjectRef[ChunkVotes]]",
) -> "tuple[dict[ray.ObjectRef[ChunkVotes], ChunkVotes], dict[ray.ObjectRef[ChunkVotes], RayError]]":
    """The votes of finished calls, and what the others failed with."""
    counted, failed = {}, {}
    try:
        return dict(zip(refs, ray.get(list(refs)), strict=True)), {}
    except RayError:
        # One at a time tells which.
        for ref in refs:
            try:
                counted[ref] = ray.get(ref)
            except RayError as error:
                failed[ref] = error
    return counted, failed


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
