"""The arithmetic of a run in words."""

import json
from collections.abc import Mapping
from typing import Any

from rsbench.records import RunRecord

_NOISE = {
    "philox4x32-grid": "noise in whole numbers",
    "philox4x32-float": "noise in float32",
    "philox-block100-float32": "noise in float32, keyed by blocks of an early rsbench",
}


def arithmetic_text(run: RunRecord) -> str | None:
    """Of a run's noise and its network; None of an imported run, of which nobody told it."""
    spec = json.loads(run.spec_json)
    if "precision" not in spec:
        return None
    noise = [] if spec["budget"] is None else [_NOISE[spec["noise"]]]
    return "; ".join([*noise, network_text(spec)])


def network_text(spec: Mapping[str, Any]) -> str:
    """Of the network of a specification, which as an early run's may lack some fields."""
    extra = ["channels last"] if spec.get("channels_last") else []
    extra += ["compiled"] if spec.get("torch_compile") else []
    return ", ".join([spec["precision"], *extra])
