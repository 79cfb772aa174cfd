"""The Ray actor that votes on chunks. No result depends on its state: a restarted actor gives the same votes.

Shapes: N images of a chunk, C channels, H×W pixels.
"""

from typing import Any

import ray
from ray.actor import ActorHandle

from rsbench.certification.voting import CertificationWork, ChunkVoter
from rsbench.data.dataset import Pixels
from rsbench.plugins import load_same_sources
from rsbench.records import Chunk, ChunkVotes


class VotingActor:
    """Votes on chunks, and keeps the network of the last run loaded until it is called for another one."""

    def __init__(self) -> None:
        self._fingerprint: str | None = None
        self._voter: ChunkVoter | None = None

    # The only call that Ray may repeat: it returns once an actor that died has been restarted.
    @ray.method(max_task_retries=-1)
    def ready(self, sources: dict[str, str]) -> None:
        """Import the plugins of the process that schedules the work, whose `loaded_sources` these are, and return.

        Raises UsageError when this node lacks one of them or has other code in it.
        """
        load_same_sources(sources)

    def count(
        self,
        fingerprint: str,
        work: "list[ray.ObjectRef[CertificationWork]]",
        chunk: Chunk,
        pixels_NCHW: Pixels,
        batches: range | None = None,
    ) -> ChunkVotes:
        """Return the votes on a chunk, or on some of its batches, of the run with that fingerprint.

        `work` holds one reference; a list keeps Ray from fetching it for every chunk. See `ChunkVoter.count` for the
        other parameters and for what is raised.
        """
        if self._voter is None or self._fingerprint != fingerprint:
            self._voter = ChunkVoter(ray.get(work[0]))
            self._fingerprint = fingerprint
        return self._voter.count(chunk, pixels_NCHW, batches)


def start_actor(device: str) -> ActorHandle[VotingActor]:
    """Start an actor with one core, and with a GPU if `device` is `cuda`.

    Ray restarts the actor when it dies, but repeats none of its calls except `ready`.
    """
    gpus = 1 if device == "cuda" else 0
    remote: Any = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=-1, max_task_retries=0)(VotingActor)
    handle: ActorHandle[VotingActor] = remote.remote()
    return handle
