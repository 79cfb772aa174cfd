"""The stages of a vote, timed one by one and together on a chunk of a run. Shapes: B batch, C channels, K classes."""

import time
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn

from rsbench.certification.plan import all_chunks, batch_count
from rsbench.certification.results import certify_chunks
from rsbench.certification.voting import BatchPlan, CertificationWork, ChunkVoter, VoteCounter
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.checkpoints import record_checkpoint
from rsbench.jobs.provenance import provenance
from rsbench.models.device import describe_device
from rsbench.records import ChunkVotes
from rsbench.store.store import Store


class Stages:
    """The first chunk of a run on its way. Every method goes the way once and returns the seconds that it took.

    `store` is one to throw away: each way to it is a run of its own there.
    """

    def __init__(self, work: CertificationWork, dataset: ImageDataset, store: Store) -> None:
        self._work, self._dataset, self._store = work, dataset, store
        self._counter = ChunkVoter(work)
        self._chunk = all_chunks(work.spec)[0]
        self._pixels_NCHW = dataset.pixels(self._chunk.indices)
        self._batch_BCHW = self._ready(work.spec.batch_size)
        self._plan = BatchPlan(work.spec, len(self._chunk.indices), self._counter.device)
        self._batches = batch_count(work.spec, len(self._chunk.indices))
        self._counted: ChunkVotes | None = None
        self._runs = 0
        store.record_dataset(work.info)
        record_checkpoint(store, work.checkpoint, "", work.info)

    def forward(self) -> float:
        """One pass of the bare network over a batch that lies ready on the device."""
        return self._seconds(self._logits)

    def full(self) -> float:
        """From pixels to rows in the store."""
        run = self._new_run()
        return self._seconds(lambda: self._write(run, self._count()))

    def noise(self) -> float:
        """Drawing the noise and making the noisy copies."""
        return self._seconds(self._draw)

    def votes(self) -> float:
        """Counting the votes of a network that takes no time."""
        deaf, tallies = self._deaf, self._tallies

        def work() -> None:
            ballot = self._ballot(deaf)
            for tally_B in tallies:
                ballot.add(self._batch_BCHW, tally_B)
            ballot.counts()

        return self._seconds(work)

    def store(self) -> float:
        """From votes to radii, encoding the votes, and writing both."""
        run, counted = self._new_run(), self._counted or self._count()
        return self._seconds(lambda: self._write(run, counted))

    def _ready(self, rows: int) -> Tensor:
        random = torch.Generator().manual_seed(0)
        return torch.rand((rows, *self._work.info.shape), generator=random).to(self._counter.device)

    @torch.inference_mode()
    def _logits(self) -> Tensor:
        logits_BK: Tensor = self._counter.network(self._batch_BCHW)
        return logits_BK

    @cached_property
    def _deaf(self) -> nn.Module:
        return _Deaf(self._logits())

    @cached_property
    def _tallies(self) -> list[Tensor]:
        return self._draw()

    @torch.inference_mode()
    def _draw(self) -> list[Tensor]:
        """Make all noisy copies and drop them: of every batch the tallies."""
        images_NCHW, index_N = self._counter.prepare_images(self._chunk, self._pixels_NCHW)
        return [self._counter.noisy_batch(images_NCHW, index_N, self._plan, batch)[1] for batch in range(self._batches)]

    def _ballot(self, network: nn.Module) -> VoteCounter:
        return VoteCounter(
            network, vote_rows=self._plan.vote_rows, classes=self._work.info.classes, device=self._counter.device
        )

    def _count(self) -> ChunkVotes:
        self._counted = self._counter.count(self._chunk, self._pixels_NCHW)
        return self._counted

    def _new_run(self) -> int:
        """Another seed makes another run: a row that is there already would not be written."""
        self._runs += 1
        spec = self._work.spec.model_copy(update={"seed": self._runs})
        return self._store.open_run(spec, image_count=len(self._chunk.indices)).id

    def _write(self, run: int, counted: ChunkVotes) -> None:
        rows = certify_chunks(self._work.spec, self._work.info, self._dataset.labels_N, [counted])
        self._store.write_chunk(
            run, rows, seconds=counted.seconds, provenance=provenance(describe_device(self._work.spec.device))
        )

    def _seconds(self, work: Callable[[], object]) -> float:
        self._wait()
        started = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        """A GPU computes on while Python goes ahead."""
        if self._counter.device.type == "cuda":
            torch.cuda.synchronize()


class _Deaf(nn.Module):
    """Answers with the same logits whatever it is shown."""

    def __init__(self, logits_BK: Tensor) -> None:
        super().__init__()
        self._logits_BK = logits_BK

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self._logits_BK
