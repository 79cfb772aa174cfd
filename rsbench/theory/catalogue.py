"""The registry of certificates. A plugin adds its own with `CERTIFICATES.register(name, certificate)`."""

from typing import Final

from rsbench.plugins import Registry
from rsbench.theory.certificate import Certificate
from rsbench.theory.deterministic_l1 import DeterministicL1
from rsbench.theory.gaussian_l2 import GaussianL2, PrivacyL2, RenyiL2
from rsbench.theory.uniform_l1 import BoxImageL1, BoxL1, BoxLogL1, LipschitzL1

_DECLARED = ("name", "norms", "ball", "threat_models", "condition", "source")


def _check_declarations(name: str, certificate: Certificate) -> None:
    """Refuse a certificate that does not say what its radius means: every report prints these facts."""
    if missing := [attribute for attribute in _DECLARED if not hasattr(certificate, attribute)]:
        raise ValueError(f"{type(certificate).__name__} does not define {', '.join(missing)}")
    if certificate.name != name:
        raise ValueError(f"its attribute `name` is {certificate.name!r}")
    if not certificate.norms or not set(certificate.norms) <= {"l1", "l2"}:
        raise ValueError(f"norms must be l1, l2 or both, got {certificate.norms!r}")
    if certificate.ball not in ("open", "closed"):
        raise ValueError(f"ball must be 'open' or 'closed', got {certificate.ball!r}")
    if not certificate.threat_models:
        raise ValueError("threat_models names no smoothing measure for which the theorem holds")


CERTIFICATES: Final[Registry[Certificate]] = Registry(
    "certificate",
    Certificate,
    {
        certificate.name: certificate
        for certificate in (
            GaussianL2(),
            PrivacyL2(),
            RenyiL2(),
            LipschitzL1(),
            BoxLogL1(),
            BoxL1(),
            BoxImageL1(),
            DeterministicL1(),
        )
    },
    check=_check_declarations,
)
