"""Finding the files of an import, and σ in their paths."""

from pathlib import Path

import pytest

from rsbench.errors import UsageError
from rsbench.foreign.paths import files_below, sigma_of_path


def test_files_and_folders_are_listed_without_duplicates(tmp_path: Path) -> None:
    for name in ("b/sigma_0.5", "a/sigma_1.0", "a/.hidden", ".git/config", "c.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_below([tmp_path / "b/sigma_0.5", tmp_path, tmp_path / "a"]) == (
        tmp_path / "b/sigma_0.5",
        tmp_path / "a/sigma_1.0",
        tmp_path / "c.npz",
    )
    assert files_below([tmp_path], suffix=".npz") == (tmp_path / "c.npz",)
    assert files_below([tmp_path / "a/.hidden"]) == (tmp_path / "a/.hidden",)


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nowhere: no such file or folder"):
        files_below([tmp_path / "nowhere"])


@pytest.mark.parametrize(
    ("path", "sigma"),
    [
        ("cohen/noise_0.25/test/sigma_0.5", 0.5),
        ("cohen/noise_0.25/test/certified", 0.25),
        ("sigma_1/sigma_0.12/rows", 0.12),
        ("sigma_0.25.tsv", 0.25),
        ("sigma_2.txt", 2.0),
        ("oursigma_0.25", None),
        ("sigma_auto/rows", None),
        ("rows", None),
    ],
)
def test_sigma_of_a_path(path: str, sigma: float | None) -> None:
    assert sigma_of_path(Path(path)) == sigma
