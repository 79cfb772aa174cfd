"""The certification scheduler: it hands chunks to actors, collects votes, and replaces what dies on the way."""

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

from rsbench.certification.plan import batch_count
from rsbench.certification.voting import CertificationWork, ChunkVoter, merge_parts
from rsbench.cluster.actor import VotingActor, start_actor
from rsbench.cluster.session import describe_resources, ray_session
from rsbench.data.dataset import Pixels
from rsbench.errors import IncompleteError, RsbenchError, first_line
from rsbench.plugins import loaded_sources
from rsbench.records import Chunk, ChunkVotes
from rsbench.specs import CertificationSpec

LoadPixels = Callable[[Sequence[int]], Pixels]
"""Returns the pixels of the images with these indices."""

CountChunks = Callable[[CertificationWork, Iterable[Chunk], LoadPixels], Iterator[Sequence[ChunkVotes]]]
"""Yields the votes on the chunks of a run, see `vote_counting`."""

Counting = Callable[[int, str], AbstractContextManager[CountChunks]]
"""Returns the `CountChunks` of that many workers on a device; `vote_counting` is one."""

StartActor = Callable[[str], ActorHandle[VotingActor]]
"""Starts an actor on a device."""

# While an actor votes on one chunk, the pixels of the next one are on their way to it.
_CALLS_PER_ACTOR = 2
# Chunks that have finished are yielded together up to this many images: enough to make the cost of each transaction
# small, and few enough for their votes to fit into memory with a thousand classes.
_MAX_IMAGES_TOGETHER = 500
# A machine may be taken away twice by chance; a chunk that fails a third time most likely always will.
_MAX_ATTEMPTS = 3
# A local worker starts in a few seconds, so a notice appears only where the start takes longer.
_SECONDS_UNTIL_NOTICE = 15.0


@contextmanager
def vote_counting(workers: int, device: str, *, start: StartActor = start_actor) -> Iterator[CountChunks]:
    """Provide a function that counts votes: in this process for 0 workers, else on that many actors.

    The function can be called for one run after another. It yields the votes on chunks as they finish, in any order,
    and together if several have finished meanwhile; the votes are the same for any number of workers. It raises
    whatever the run will always fail with (CheckpointError, UsageError), and IncompleteError if workers keep dying.

    Parameters
    ----------
    workers
        How many actors to start. The cluster may run fewer of them at a time.
    device
        `cpu` or `cuda`.
    start
        Starts an actor; tests and benchmarks pass another one.
    """
    if workers == 0:
        yield _count_in_process
        return
    # Ray prints a screenful to stdout about each worker and node that dies. The scheduler reports what matters.
    with Path(os.devnull).open("w") as null, redirect_stdout(null), ray_session(workers):
        actors = [start(device) for _ in range(workers)]
        try:
            yield _ActorPool(actors).count
        finally:
            for actor in actors:
                ray.kill(actor)


def _count_in_process(
    work: CertificationWork, chunks: Iterable[Chunk], load_pixels: LoadPixels
) -> Iterator[Sequence[ChunkVotes]]:
    voter = ChunkVoter(work)
    for chunk in chunks:
        yield [voter.count(chunk, load_pixels(chunk.indices))]


@dataclass(frozen=True)
class _Part:
    """What one call of an actor votes on: some batches of a chunk, or all of them if `batches` is None."""

    chunk: Chunk
    batches: range | None = None


def _divide(spec: CertificationSpec, chunks: Iterable[Chunk], workers: int) -> Iterator[_Part]:
    """Yield whole chunks; if there are fewer chunks than workers, divide each so that every worker gets a part."""
    remaining = iter(chunks)
    first = list(islice(remaining, workers))
    parts_per_chunk = math.ceil(workers / len(first)) if first else 1
    for chunk in chain(first, remaining):
        batches = batch_count(spec, len(chunk.indices))
        batches_per_part = math.ceil(batches / parts_per_chunk)
        if batches_per_part == batches:
            yield _Part(chunk)
            continue
        for start in range(0, batches, batches_per_part):
            yield _Part(chunk, range(start, min(start + batches_per_part, batches)))


class _PartMerger:
    """Collects the votes on parts until their chunk is complete."""

    def __init__(self, spec: CertificationSpec) -> None:
        self._spec = spec
        self._incomplete: dict[Chunk, list[ChunkVotes]] = defaultdict(list)

    def add(self, votes_on_parts: Iterable[ChunkVotes]) -> list[ChunkVotes]:
        """Return the votes on the chunks that these parts complete."""
        complete = []
        for part_votes in votes_on_parts:
            chunk = part_votes.chunk
            parts = self._incomplete[chunk]
            parts.append(part_votes)
            if sum(part.batches for part in parts) == batch_count(self._spec, len(chunk.indices)):
                complete.append(merge_parts(self._incomplete.pop(chunk)))
        return complete


class _ActorPool:
    """Hands parts of chunks to those of its actors that currently run.

    An actor receives work only after it has answered `ready`, also after a restart, so an actor for which the cluster
    has no room never holds a chunk. Ray's own retries are off: when an actor dies, its parts return to the queue here,
    and any actor may take them.
    """

    def __init__(self, actors: Sequence[ActorHandle[VotingActor]]) -> None:
        self._actors = actors
        # Actors are known by their position in `actors`.
        self._running: set[int] = set()
        self._starting: dict[ray.ObjectRef[None], int] = {}
        self._failed_starts: Counter[int] = Counter()
        self._sources = loaded_sources()
        for number in range(len(actors)):
            self._await_start(number)

    def count(
        self, work: CertificationWork, chunks: Iterable[Chunk], load_pixels: LoadPixels
    ) -> Iterator[Sequence[ChunkVotes]]:
        """Yield the votes on the chunks, see `vote_counting`."""
        work_ref = ray.put(work)
        fingerprint = work.spec.fingerprint()
        max_chunks_together = max(1, _MAX_IMAGES_TOGETHER // work.spec.chunk_images)
        new_parts, queue = _divide(work.spec, chunks, len(self._actors)), deque[_Part]()
        attempts: Counter[_Part] = Counter()
        in_flight: dict[ray.ObjectRef[ChunkVotes], tuple[int, _Part]] = {}
        merger = _PartMerger(work.spec)
        while True:
            free = self._free_slots(Counter(number for number, _ in in_flight.values()))
            # One part more than can be handed out shows whether there is more to do.
            queue.extend(islice(new_parts, max(0, 1 + len(free) - len(queue))))
            if not queue and not in_flight:
                return
            for number in free[: len(queue)]:
                part = queue.popleft()
                ref: ray.ObjectRef[ChunkVotes] = self._actors[number].count.remote(
                    fingerprint, [work_ref], part.chunk, load_pixels(part.chunk.indices), part.batches
                )
                in_flight[ref] = (number, part)
            votes, errors = _results(self._wait(in_flight, at_most=max_chunks_together))
            # Nothing more is handed out until these votes are stored, so that only what is in flight is lost if this
            # process dies.
            if complete := merger.add(votes.values()):
                yield complete
            for ref in votes:
                del in_flight[ref]
            for ref, error in errors.items():
                if ref not in in_flight:
                    continue  # The call was handled with another one of the same dead actor.
                number, _ = in_flight[ref]
                affected = [ref]
                if isinstance(error, RayActorError):
                    # All calls of the actor have ended. It ran them in order, so only the first lost one was running.
                    affected = [ref for ref, (holder, _) in in_flight.items() if holder == number]
                late_votes, late_errors = _results(affected)
                if complete := merger.add(late_votes.values()):
                    yield complete
                lost = [in_flight[ref][1] for ref in late_errors]
                attempts[lost[0]] += 1
                _raise_if_hopeless(error, lost[0].chunk, attempts[lost[0]])
                queue.extendleft(reversed(lost))
                for ref in affected:
                    del in_flight[ref]
                if isinstance(error, RayActorError):
                    images = len({index for part in lost for index in part.chunk.indices})
                    print(f"a worker died: its {images} images return to the queue", file=sys.stderr)
                    if number in self._running:
                        self._running.remove(number)
                        self._await_start(number)

    def _wait(self, in_flight: "Iterable[ray.ObjectRef[ChunkVotes]]", *, at_most: int) -> "list[ray.ObjectRef[Any]]":
        """Wait until a call has ended, and return those in flight that have, the oldest first.

        The list is empty if it was an actor that started or failed to start.
        """
        refs: list[ray.ObjectRef[Any]] = [*self._starting, *in_flight]
        ended, _ = ray.wait(refs, num_returns=1, timeout=_SECONDS_UNTIL_NOTICE if not self._running else None)
        if not ended:
            # A cluster that grows on demand can need minutes for its first worker.
            notice = f"waiting for Ray to start a worker; the cluster has {describe_resources()}"
            print(notice, file=sys.stderr, flush=True)
            ended, _ = ray.wait(refs, num_returns=1)
        if at_most > 1:
            ended, _ = ray.wait(refs, num_returns=min(at_most, len(refs)), timeout=0)
        ended_in_flight = [ref for ref in ended if ref not in self._starting]
        for ref in ended:
            if ref in self._starting:
                self._finish_start(ref)
        return ended_in_flight

    def _await_start(self, number: int) -> None:
        self._starting[self._actors[number].ready.remote(self._sources)] = number

    def _finish_start(self, ref: "ray.ObjectRef[None]") -> None:
        """Mark an actor as running, or try again.

        Raises IncompleteError after three failures, and UsageError at once if its node has other plugins.
        """
        number = self._starting.pop(ref)
        try:
            ray.get(ref)
        except RayError as error:
            if isinstance(error, RayTaskError) and isinstance(error.cause, RsbenchError):
                raise error.cause from error
            self._failed_starts[number] += 1
            if self._failed_starts[number] >= _MAX_ATTEMPTS:
                raise IncompleteError(
                    f"a worker failed to start {_MAX_ATTEMPTS} times ({first_line(error)}): is this rsbench installed "
                    "on every node?"
                ) from error
            self._await_start(number)
            return
        del self._failed_starts[number]
        self._running.add(number)

    def _free_slots(self, calls_by_actor: Counter[int]) -> list[int]:
        """Return running actors, each once for every call that it can still take, the least busy first."""
        slots = [
            (calls, number) for number in self._running for calls in range(calls_by_actor[number], _CALLS_PER_ACTOR)
        ]
        return [number for _, number in sorted(slots)]


def _results(
    refs: "Sequence[ray.ObjectRef[ChunkVotes]]",
) -> "tuple[dict[ray.ObjectRef[ChunkVotes], ChunkVotes], dict[ray.ObjectRef[ChunkVotes], RayError]]":
    """Return the votes of the calls that succeeded, and the errors of the others."""
    votes, errors = {}, {}
    try:
        return dict(zip(refs, ray.get(list(refs)), strict=True)), {}
    except RayError:
        # The error does not say which call it is of.
        for ref in refs:
            try:
                votes[ref] = ray.get(ref)
            except RayError as error:
                errors[ref] = error
    return votes, errors


def _raise_if_hopeless(error: RayError, chunk: Chunk, attempts: int) -> None:
    """Raise the error of a chunk that will always fail; return if another attempt may succeed."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RsbenchError):
        raise cause
    if attempts >= _MAX_ATTEMPTS:
        reason = "its worker died" if isinstance(error, RayActorError) else first_line(cause)
        raise IncompleteError(
            f"images {chunk.indices[0]} to {chunk.indices[-1]} failed {attempts} times ({reason}): what is finished is "
            "kept, and the same command resumes"
        ) from error
