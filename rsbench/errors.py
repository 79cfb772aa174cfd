"""What can go wrong, by the exit code that it ends a command with."""


class RsbenchError(Exception):
    """Something that the user can act on: the message is one line that says what was wrong, which value, what to do."""

    exit_code = 2


class UsageError(RsbenchError):
    """Bad input: an unknown name, a value out of range, a file of the wrong kind."""


class DataError(RsbenchError):
    """A data set that is missing, incomplete or not what it should be."""


class CheckpointError(RsbenchError):
    """A checkpoint that cannot be read, or that belongs to another data set, architecture or measure."""


class StoreError(RsbenchError):
    """A database that is missing, newer than the code, locked, full or damaged."""

    exit_code = 1


class UnavailableError(StoreError):
    """A database that does not answer, or that another process holds: the same thing may succeed a little later."""


class IncompleteError(RsbenchError):
    """The work stopped before its end; what was finished is kept, and the same command resumes."""

    exit_code = 3


class MismatchError(RsbenchError):
    """What is stored is not what was sealed, or not what comes out again."""

    exit_code = 4


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its name where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
