"""Exceptions that rsbench raises for problems that the user can act on. Each defines the exit code of the command."""


class RsbenchError(Exception):
    """Base class of all errors for the user. The message is one line: the value, the problem, the remedy."""

    exit_code = 2


class UsageError(RsbenchError):
    """Bad input: an unknown name, a value out of range, or a file of the wrong kind."""


class NoStoreError(UsageError):
    """A location at which there is no database yet."""


class DataError(RsbenchError):
    """A dataset or a file of results that is missing, incomplete or invalid."""


class CheckpointError(RsbenchError):
    """A checkpoint that cannot be read, or that belongs to another dataset, architecture or smoothing measure."""


class StoreError(RsbenchError):
    """A database that is missing, newer than this code, locked, full or damaged."""

    exit_code = 1


class UnavailableError(StoreError):
    """A database that does not respond or is locked by another process. Trying again later may succeed."""


class IncompleteError(RsbenchError):
    """The work stopped early. Finished parts are kept, and the same command resumes."""

    exit_code = 3


class MismatchError(RsbenchError):
    """Stored results differ from those that were sealed, or from those of a new computation."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class if it has no message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
