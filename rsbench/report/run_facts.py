"""What reports say of a single run: seed, curve, certificate, standing and arithmetic, mostly in words."""

from collections.abc import Mapping

from rsbench.errors import UsageError
from rsbench.records import CurveRecord, RunRecord, Tier
from rsbench.specs import CertificationSpec, Noise
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import GRID, Certificate

TIER_TEXT: Mapping[Tier, str] = {
    "measured": "",
    "reproduced": "reproduced by another run",
    "imported-votes": "imported (votes)",
    "imported-radii": "imported (radii only)",
}

NOISE_TEXT: Mapping[Noise, str] = {
    "philox4x32-grid": "integer noise",
    "philox4x32-float": "noise in float32",
    "philox-block100-float32": "noise in float32, keyed by blocks of an early rsbench",
    "enumerated": "every split",
}


def seed_of(run: RunRecord) -> int | None:
    """Return the seed under which a run counts: the training seed, or the seed of the votes for an external checkpoint.

    Returns None for an imported run.
    """
    return run.seed if run.training_seed is None else run.training_seed


def curve_of(run: RunRecord) -> CurveRecord:
    """Return the curve of a sealed run."""
    assert run.curve is not None  # noqa: S101 - sealed runs have their curve
    return run.curve


def remark_of(run: RunRecord) -> str:
    """Return where the numbers of a run come from; empty if they were measured here and declared beforehand.

    That another run reproduced it is not part of the remark, because such a run is averaged with other seeds.
    """
    origin = "" if run.tier == "reproduced" else TIER_TEXT[run.tier]
    stated = standing_text(run.curve) if run.curve is not None and run.curve.statement else ""
    return "; ".join(text for text in (origin, stated) if text)


def curve_text(curve: CurveRecord) -> str:
    """Return certificate, n, α, procedure and standing of a curve in one line."""
    alpha = curve.failure_probability
    budget = "exact" if alpha is None else f"n {curve.n:,} · α {alpha:g} · {curve.procedure}"
    return f"{curve.certificate} · {budget} · {standing_text(curve)}"


def standing_text(curve: CurveRecord) -> str:
    """Return when the choices behind a curve were fixed, in words."""
    if curve.statement:
        return f"stated afterwards to be declared in {curve.statement}"
    return curve.standing


def threat_model_of(run: RunRecord) -> str:
    """Return the set of perturbed images that a run's certificate covers.

    Raises UsageError when the certificate is not known here.
    """
    certificate = certificate_of(run)
    return GRID if run.spec.uses_integer_noise else certificate.threat_models[run.family]


def certificate_name(run: RunRecord) -> str:
    """Return the name of the certificate of a run's curve; that of the specification while there is no curve."""
    return run.certificate if run.curve is None else run.curve.certificate


def known_certificate(run: RunRecord) -> Certificate | None:
    """Return the certificate of a run's curve, or None where it is not known here: a plugin may be missing."""
    return CERTIFICATES.get(certificate_name(run))


def certificate_of(run: RunRecord) -> Certificate:
    """Return the certificate of a run's curve. Raises UsageError when it is not known here."""
    if (certificate := known_certificate(run)) is None:
        raise UsageError(f"run {run.fingerprint[:12]}: {unknown_certificate_text(certificate_name(run))}")
    return certificate


def unknown_certificate_text(name: str) -> str:
    """Return what to do about a certificate that no module of this installation registers."""
    return f"certificate {name!r} is not known here: install the package that adds it, or load its plugin with --plugin"


def may_hold_in(run: RunRecord, norm: str) -> bool:
    """Whether a run belongs to the reports of a norm: its certificate holds in it, or is not known here."""
    certificate = known_certificate(run)
    return certificate is None or norm in certificate.norms


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
