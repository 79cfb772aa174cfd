"""Import from end to end: files read and checked, then stored together or not at all."""

from collections.abc import Callable
from dataclasses import dataclass

from rsbench.foreign.import_options import ReadResult
from rsbench.records import ImportedRun
from rsbench.store.store import Store


@dataclass(frozen=True, eq=False)
class ImportedFile:
    """A run that was read, the fingerprint that it is known by, and whether it was not in the store before."""

    run: ImportedRun
    fingerprint: str
    new: bool


def import_files(
    read: Callable[[], ReadResult], location: str, *, dry_run: bool
) -> tuple[ReadResult, list[ImportedFile]]:
    """Read and check files, then store their runs in one transaction; a dry run only looks whether they are there.

    The store is not opened before all files are found sound. Raises what `read` raises, UsageError when a file's
    content is stored with other options, and StoreError.
    """
    reading = read()
    if dry_run:
        with Store.open_or_empty(location) as store:
            new = [store.find_run(run.spec.fingerprint()) is None for run in reading.runs]
    else:
        with Store.create_or_open(location) as store:
            new = [outcome.new for outcome in store.import_runs(reading.runs)]
    files = [ImportedFile(run, run.spec.fingerprint(), is_new) for run, is_new in zip(reading.runs, new, strict=True)]
    return reading, files
