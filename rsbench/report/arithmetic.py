"""The arithmetic of a run in words."""

from collections.abc import Mapping

from rsbench.records import RunRecord
from rsbench.specs import CertificationSpec, Noise

NOISE_TEXT: Mapping[Noise, str] = {
    "philox4x32-grid": "noise in whole numbers",
    "philox4x32-float": "noise in float32",
    "philox-block100-float32": "noise in float32, keyed by blocks of an early rsbench",
    "enumerated": "every split",
}


def arithmetic_text(run: RunRecord) -> str | None:
    """Describe the arithmetic of noise and network; None for an imported run, of which it is not known."""
    spec = run.certification
    if spec is None:
        return None
    noise = [] if spec.budget is None else [NOISE_TEXT[spec.noise]]
    return "; ".join([*noise, network_text(spec)])


def network_text(spec: CertificationSpec) -> str:
    """Describe the arithmetic of the network."""
    layout = ["channels last"] if spec.channels_last else []
    return ", ".join([spec.precision, *layout, *(["compiled"] if spec.torch_compile else [])])
