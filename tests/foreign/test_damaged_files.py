"""A damaged file is refused with a one-line error or read as what it contains; it never causes a traceback."""

import random
from pathlib import Path

import pytest

from rsbench.errors import RsbenchError
from rsbench.foreign.npz_runs import read_npz
from rsbench.foreign.tsv_runs import read_tsv
from tests.foreign.sample_files import import_options, write_table
from tests.foreign.test_npz_runs import votes_file


def damaged(content: bytes, random_: random.Random, alphabet: bytes) -> bytes:
    """Apply one to three random changes: replace, insert or delete bytes, or truncate."""
    damaged = bytearray(content)
    for _ in range(random_.choice((1, 1, 2, 3))):
        place = random_.randrange(len(damaged)) if damaged else 0
        kind = random_.random()
        if kind < 0.5 and damaged:
            damaged[place] = random_.choice(alphabet)
        elif kind < 0.7:
            damaged[place:place] = bytes([random_.choice(alphabet)])
        elif kind < 0.9:
            del damaged[place : place + random_.randrange(1, 8)]
        else:
            del damaged[place:]
    return bytes(damaged)


def refusal(kind: str, file: Path) -> str | None:
    """Return the error message of reading the file, or None if it can be read."""
    try:
        if kind == "tsv":
            read_tsv([file], import_options(n_estimate=100_000, failure_probability=0.001))
        else:
            read_npz([file], import_options())
    except RsbenchError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", ["tsv", "npz"])
def test_damage_is_reported_in_one_line(tmp_path: Path, kind: str) -> None:
    file = write_table(tmp_path / "sigma_0.25") if kind == "tsv" else votes_file(tmp_path)
    alphabet = b'\t\n\r\0-+.eE019 x"\xff\xce' if kind == "tsv" else bytes(range(256))
    content = file.read_bytes()
    assert refusal(kind, file) is None
    lines = []
    for seed in range(400):
        file.write_bytes(damaged(content, random.Random(seed), alphabet))  # noqa: S311 - no secret
        if (line := refusal(kind, file)) is not None:
            lines.append(line)
    assert len(lines) > 200
    assert all(str(file) in line and "\n" not in line for line in lines)


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    file = votes_file(tmp_path)
    content = file.read_bytes()
    # The first flag of an entry in the central directory says that it is encrypted.
    start = content.index(b"PK\x01\x02")
    file.write_bytes(content[: start + 8] + b"\x01" + content[start + 9 :])
    with pytest.raises(RsbenchError, match=r"File 'labels\.npy' is encrypted"):
        read_npz([file], import_options())
