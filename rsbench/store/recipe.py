"""What runs have in common that may be averaged over their seeds."""

import json
from typing import Any

from rsbench.specs import CertificationSpec, canonical_json

# Early runs have not all of these fields, and are of another recipe in any case: their noise was drawn otherwise.
_OF_VOTES = {
    "batch_size", "device", "precision", "noise", "channels_last", "torch_compile", "mixed_devices",
}  # fmt: skip


def recipe_of(spec: CertificationSpec, training_json: str | None) -> str:
    """Canonical JSON of how a run's checkpoint was trained and its votes computed, but for σ and the seed.

    training_json: the specification of the trial that made the checkpoint. A foreign checkpoint has none: nothing is
    known of how it was trained, and it stands for itself.
    """
    trial: dict[str, Any] = {"foreign": spec.checkpoint_sha256}
    if training_json is not None:
        trial = {name: value for name, value in json.loads(training_json).items() if name not in ("seed", "measure")}
    votes = spec.model_dump(mode="json", include=_OF_VOTES)
    return canonical_json({"training": trial, "votes": votes})
