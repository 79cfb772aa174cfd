"""The certification scheduler: chunks to actors, votes back, whatever dies on the way."""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError

from rsbench.certification.votes import CertificationWork, VoteCounter
from rsbench.cluster.actor import VotingActor, start_actor
from rsbench.cluster.session import ray_session
from rsbench.data.dataset import Pixels
from rsbench.errors import IncompleteError, RsbenchError
from rsbench.records import Chunk, ChunkVotes

LoadPixels = Callable[[Sequence[int]], Pixels]
CountChunks = Callable[[CertificationWork, Sequence[Chunk], LoadPixels], Iterator[ChunkVotes]]

# One chunk computes while the next is on its way.
_IN_FLIGHT = 2
_ATTEMPTS = 3


@contextmanager
def vote_counting(workers: int, device: str) -> Iterator[CountChunks]:
    """A way to count votes: in this process for 0 workers, else on that many actors, which serve run after run.

    The votes are the same either way. They are yielded as chunks finish, in any order.
    """
    if workers == 0:
        yield _count_in_process
        return
    with ray_session(workers):
        actors = [start_actor(device) for _ in range(workers)]
        try:
            yield lambda work, chunks, load: _count_on_actors(actors, work, chunks, load)
        finally:
            for actor in actors:
                ray.kill(actor)


def _count_in_process(work: CertificationWork, chunks: Sequence[Chunk], load: LoadPixels) -> Iterator[ChunkVotes]:
    counter = VoteCounter(work)
    for chunk in chunks:
        yield counter.count(chunk, load(chunk.indices))


def _count_on_actors(
    actors: Sequence[ActorHandle[VotingActor]], work: CertificationWork, chunks: Sequence[Chunk], load: LoadPixels
) -> Iterator[ChunkVotes]:
    """Ray's own retries are off: a chunk whose actor died is queued again here, and any actor may take it."""
    work_ref = ray.put(work)
    fingerprint = work.spec.fingerprint()
    waiting = deque(chunks)
    attempts: Counter[int] = Counter()
    in_flight: dict[ray.ObjectRef[ChunkVotes], tuple[ActorHandle[VotingActor], Chunk]] = {}
    idle = deque(actor for _ in range(_IN_FLIGHT) for actor in actors)
    while waiting or in_flight:
        while waiting and idle:
            actor, chunk = idle.popleft(), waiting.popleft()
            ref: ray.ObjectRef[ChunkVotes] = actor.count.remote(fingerprint, [work_ref], chunk, load(chunk.indices))
            in_flight[ref] = (actor, chunk)
        finished, _ = ray.wait(list(in_flight), num_returns=1)
        actor, chunk = in_flight.pop(finished[0])
        idle.append(actor)
        try:
            yield ray.get(finished[0])
        except RayError as error:
            attempts[chunk.number] += 1
            _refuse_hopeless(error, chunk, attempts[chunk.number])
            waiting.appendleft(chunk)


def _refuse_hopeless(error: RayError, chunk: Chunk, attempts: int) -> None:
    """Raises what a chunk will always fail with; returns when another attempt may succeed."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, RsbenchError):
        raise cause
    if attempts >= _ATTEMPTS:
        reason = "its worker died" if isinstance(error, RayActorError) else str(cause).splitlines()[0]
        raise IncompleteError(
            f"images {chunk.indices[0]} to {chunk.indices[-1]} failed {attempts} times ({reason}): what is finished is "
            "kept, and the same command resumes"
        ) from error
