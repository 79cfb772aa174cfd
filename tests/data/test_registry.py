"""Datasets by name, and those that a plugin registers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rsbench.data.dataset import ImageDataset
from rsbench.data.in_memory import ArrayDataset
from rsbench.data.registry import DATASETS, load_dataset
from rsbench.errors import UsageError


def squares(name: str = "squares", labels: int = 6) -> ArrayDataset:
    pixels_NCHW = np.zeros((6, 1, 4, 4), dtype=np.uint8)
    dataset = ArrayDataset(name, test=(pixels_NCHW, np.arange(6) % 2), train=None, classes=2, q=255, architecture="mlp")
    dataset.labels_N = np.arange(labels) % 2
    return dataset


class Incomplete(ImageDataset):
    """It does not say how networks on it are normalised."""

    default_architecture = "mlp"

    def __init__(self, root: Path) -> None:
        self.info = squares("incomplete").info
        self.labels_N = np.zeros(6, dtype=np.int64)

    def _load(self, indices: Any) -> Any:
        raise NotImplementedError


def test_a_registered_dataset_is_read_from_the_data_root(tmp_path: Path) -> None:
    roots = []

    def load(root: Path) -> ArrayDataset:
        roots.append(root)
        return squares()

    with DATASETS.registered("squares", load):
        assert load_dataset("squares", tmp_path).info == squares().info
        load_dataset("squares", None)
    assert roots == [tmp_path, Path("data")]
    with pytest.raises(UsageError, match=r"unknown dataset 'squares': choose from digits, .* with --plugin"):
        load_dataset("squares", None)


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (lambda _: [1, 2], "its loader returned an object of type list: it must return an ImageDataset"),
        (lambda _: squares("triangles"), "its info.name is 'triangles': give it the name under which"),
        (lambda _: squares(labels=5), r"has labels of the shape \(5,\) for 6 images"),
        (Incomplete, "Incomplete does not set normalisation"),
    ],
)
def test_a_loader_that_returns_something_else_is_refused(loader: Any, message: str) -> None:
    with DATASETS.registered("squares", loader), pytest.raises(UsageError, match=f"^dataset 'squares'.*{message}"):
        load_dataset("squares", None)


def test_a_loader_must_be_callable() -> None:
    with pytest.raises(UsageError, match="dataset 'squares' is of type ArrayDataset: register a function"):
        DATASETS.register("squares", squares())  # type: ignore[arg-type]
