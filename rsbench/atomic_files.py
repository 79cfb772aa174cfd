"""Files that are written completely or not at all."""

import os
from pathlib import Path


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that other processes see either what was there before or all of the new content.

    Raises OSError when that is not possible; then nothing has changed.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
