"""The page on the Python API: its examples run, and it names all there is."""

import inspect
import re
from pathlib import Path
from typing import Any

import rsbench

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "python-api.md").read_text(encoding="utf-8")


def test_the_examples_run_in_their_order(home: Path) -> None:
    names: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks[1].splitlines()) == 10
    for block in blocks:
        exec(block, names)  # noqa: S102 - the documentation's own code
    result = names["result"]
    assert len(result.images) == 60
    assert result.clean_accuracy > 0.7
    with rsbench.open_store(home.parent / "results.db") as store:
        runs = store.runs()
    assert runs["dataset"].tolist() == ["my digits"]
    assert runs["clean_accuracy"].tolist() == [result.clean_accuracy]


def test_every_name_and_argument_is_documented() -> None:
    prose = re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)
    words = set(re.findall(r"[A-Za-z_]\w*", " ".join(re.findall(r"`([^`]+)`", prose))))
    expected = set(rsbench.__all__)
    for function in (rsbench.certify, rsbench.open_store, rsbench.deterministic_splitting):
        expected |= set(inspect.signature(function).parameters)
    for kind in (rsbench.Certification, rsbench.ResultStore):
        methods = {name for name, _ in inspect.getmembers(kind, inspect.isfunction)}
        expected |= {name for name in methods if not name.startswith("_")} - {"close"}
    expected |= {name.replace("-", "_") for name in rsbench.certificates.names()}
    assert expected - words == set()
