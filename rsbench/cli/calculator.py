"""The computation behind `rsbench radius`: from options as they were typed to a radius.

Shapes: N images (always 1 here), K classes, D values of an image.
"""

import math
import re
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from rsbench.cli import options as o
from rsbench.errors import UsageError
from rsbench.families import FAMILIES
from rsbench.records import IntArray
from rsbench.specs import PROCEDURES, MeasureSpec, Procedure, deterministic_levels
from rsbench.theory.certificate import Certificate, ImageFacts, SampledCertificate, check_q, check_votes
from rsbench.theory.deterministic_l1 import DeterministicL1, deterministic_l1_steps
from rsbench.theory.gaussian_l2 import linf_radius
from rsbench.theory.probability_bounds import ProbabilityBounds, bounds_of_votes
from rsbench.theory.rounding import floor_quotient, floor_to_float

# A decimal or a fraction, of a size that is quick to compute with exactly.
_NUMBER = re.compile(r"[+-]?(\d{1,40}/\d{1,40}|(\d{1,40}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,3})?)")


@dataclass(frozen=True)
class RadiusRequest:
    """The options of `rsbench radius` as they were typed; None where an option was left out."""

    votes: Annotated[str | None, typer.Option(help="Votes of all classes, separated by commas, such as 950,30,20.")] = (
        None
    )
    selected: Annotated[
        int | None, typer.Option(help="The class that other votes selected.", show_default="the most voted class")
    ] = None
    n: Annotated[int | None, typer.Option("--n", help="What the votes must sum to.")] = None
    classes: Annotated[int | None, typer.Option(help="The number of classes that must have votes.")] = None
    alpha: Annotated[
        str | None, typer.Option(help="Failure probability: the probability that the certificate is wrong (one-sided).")
    ] = None
    procedure: Annotated[
        str | None,
        typer.Option("--bounds", help=f"{' or '.join(PROCEDURES)}: how votes become confidence bounds.",
                     show_default=PROCEDURES[0]),
    ] = None  # fmt: skip
    pa: Annotated[str | None, typer.Option(help="Lower bound on the probability of the class, instead of votes.")] = (
        None
    )
    pb: Annotated[
        str | None, typer.Option(help="Upper bound on the probability of the runner-up.", show_default="1 − pa")
    ] = None
    sigma: Annotated[str | None, typer.Option(help="Standard deviation of the noise.")] = None
    half_width: Annotated[
        str | None, typer.Option(help="λ of uniform or splitting noise, instead of sigma. It is √3·σ.")
    ] = None
    dim: Annotated[
        int | None, typer.Option(help="Number of values of an image: for box, and for an l∞ radius with l2.")
    ] = None
    image: Annotated[
        Path | None, typer.Option(help="For box-image: an image file or .npy array, as the network sees it.")
    ] = None
    caps: Annotated[str | None, typer.Option(help="For box-image: max(x, 1−x) of all pixels, separated by commas.")] = (
        None
    )
    q: Annotated[int | None, typer.Option("--q", help="Pixels are multiples of 1/q: 255 for images of 8 bits.")] = None
    measure: Annotated[
        str | None, typer.Option(help=f"Check that the theorem holds for this noise: {', '.join(FAMILIES)}.")
    ] = None

    def given(self) -> list[str]:
        """The names of the options that were given."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not None]


@dataclass(frozen=True)
class RadiusResult:
    """What a certificate says, and what it was computed from."""

    radius: float | None
    """None on abstention."""

    predicted: int | None
    """The class; None on abstention, or when probabilities were given instead of votes."""

    bounds: dict[str, Any] | None
    """Bounds on the probabilities and where they come from; None for a certificate that does not use any."""

    facts: dict[str, Any]
    """Other numbers that the radius depends on or that follow from it, by name."""

    assumptions: tuple[str, ...] = ()
    """What the caller did not say and is assumed."""


def is_exact(certificate: Certificate) -> bool:
    """Whether every smoothing measure that the theorem covers is evaluated without sampling."""
    families = [FAMILIES.get(name) for name in certificate.threat_models]
    return all(family is not None and family.is_enumerated for family in families)


def calculate(certificate: Certificate, request: RadiusRequest) -> RadiusResult:
    """Apply a certificate. Raises UsageError or ValueError, in one line, when an option is missing or invalid."""
    if request.measure is not None:
        certificate.check_measure(request.measure)
    if isinstance(certificate, SampledCertificate):
        return _from_bounds(certificate, request)
    if isinstance(certificate, DeterministicL1):
        return _from_splits(request)
    return _from_votes(certificate, request)


def json_number(value: float | None) -> float | str | None:
    """The value, or "inf" for infinity, which JSON does not have."""
    return "inf" if value == math.inf else value


def _from_bounds(certificate: SampledCertificate, request: RadiusRequest) -> RadiusResult:
    """The radius of a certificate that is a formula of bounds on the class probabilities."""
    facts: dict[str, Any] = {}
    assumptions: tuple[str, ...] = ()
    predicted: int | None = None
    source = "given"
    if request.votes is not None:
        votes_NK = _votes(request, request.votes)
        predicted, alpha, source = _selected_class(request, votes_NK), _alpha(request), _procedure(request)
        bounds, _ = bounds_of_votes(np.array([predicted]), votes_NK, alpha, _procedure(request))
        facts = {"n": int(votes_NK.sum()), "failure_probability": alpha, "selected": predicted}
        assumptions = _assumptions(request, predicted)
    elif request.pa is not None:
        upper = None if request.pb is None else _number("--pb", request.pb)
        bounds = ProbabilityBounds.exact(_number("--pa", request.pa), upper)
    else:
        raise UsageError(f"{certificate.name} needs --votes and --alpha, or --pa")
    scale = _scale(certificate, request)
    radius = float(certificate.radius(bounds, scale, _image_facts(request))[0])
    shown = {"procedure": source, "pa": float(bounds.lower_N[0]), "pb": float(bounds.upper_N[0])}
    facts[certificate.scale] = scale
    if bounds.gap_N[0] <= 0.0:
        return RadiusResult(None, None, shown, facts, assumptions)
    return RadiusResult(radius, predicted, shown, facts | _linf(certificate, request, radius), assumptions)


def _from_splits(request: RadiusRequest) -> RadiusResult:
    """The radius of deterministic splitting, also in the steps of 1/q in which it is computed."""
    votes_NK, q = _votes_of_all_splits("dssn", request)
    predicted_N, steps_N = deterministic_l1_steps(votes_NK)
    facts = {"n": int(votes_NK.sum()), "q": q, "steps": int(steps_N[0])}
    return RadiusResult(float(floor_quotient(steps_N, q)[0]), int(predicted_N[0]), None, facts)


def _from_votes(certificate: Certificate, request: RadiusRequest) -> RadiusResult:
    """The radius of a certificate that works from the votes themselves."""
    exact = is_exact(certificate)
    if exact:
        votes_NK, _ = _votes_of_all_splits(certificate.name, request)
    elif request.votes is None:
        raise UsageError(f"{certificate.name} needs --votes, --alpha and --sigma")
    else:
        votes_NK = _votes(request, request.votes)
    n, selected = int(votes_NK.sum()), _selected_class(request, votes_NK)
    selection_NK = np.zeros_like(votes_NK)
    facts: dict[str, Any] = {"n": n}
    alpha: float | None = None
    if exact:
        measure = _enumerated_measure(certificate, request, n)
        facts["q"] = request.q
    else:
        alpha = _alpha(request)
        # `certify` takes the class from selection votes. The request gives the class itself, so one vote selects it.
        selection_NK[0, selected] = 1
        family = request.measure or next(iter(certificate.threat_models))
        measure = MeasureSpec(family=family, sigma=_sigma(certificate, request))
        facts |= {"failure_probability": alpha, "selected": selected, "sigma": measure.sigma}
    verdicts = certificate.certify(
        selection_NK,
        votes_NK,
        measure,
        failure_probability=alpha,
        procedure=_procedure(request),
        images=_image_facts(request),
    )
    assumptions = () if exact else _assumptions(request, selected)
    if verdicts.abstained_N[0]:
        return RadiusResult(None, None, None, facts, assumptions)
    radius = float(verdicts.radius_N[0])
    facts |= _linf(certificate, request, radius)
    return RadiusResult(radius, int(verdicts.predicted_N[0]), None, facts, assumptions)


def _votes_of_all_splits(name: str, request: RadiusRequest) -> tuple[IntArray, int]:
    """The votes and q. Raises UsageError when --sigma means another number of splits than there are votes."""
    if request.votes is None or request.q is None:
        raise UsageError(f"{name} needs the --votes of all its splits, and --q")
    check_q(request.q)
    votes_NK = _votes(request, request.votes)
    if request.sigma is not None:
        splits = deterministic_levels(float(_number("--sigma", request.sigma)), request.q)
        if splits != votes_NK.sum():
            raise UsageError(
                f"--sigma {request.sigma} and --q {request.q} make {splits} splits, not {votes_NK.sum()} votes"
            )
    return votes_NK, request.q


def _enumerated_measure(certificate: Certificate, request: RadiusRequest, n: int) -> MeasureSpec:
    """The measure with n splits."""
    if n < 2:
        raise UsageError(f"--votes {request.votes}: {certificate.name} needs the votes of at least 2 splits")
    assert request.q is not None  # noqa: S101 - `_votes_of_all_splits` refuses a request without it
    family = request.measure or next(iter(certificate.threat_models))
    # Splits lie 1/q apart over twice the half-width.
    sigma = n / (2.0 * math.sqrt(3.0) * request.q)
    return MeasureSpec(family=family, sigma=sigma, levels=n, offsets_seed=0)


def _linf(certificate: Certificate, request: RadiusRequest, radius: float) -> dict[str, Any]:
    """The l∞ radius that follows from an l2 radius, where the number of values is given."""
    if request.dim is None or "l2" not in certificate.norms:
        return {}
    return {"linf_radius": json_number(linf_radius(radius, request.dim))}


def _assumptions(request: RadiusRequest, predicted: int) -> tuple[str, ...]:
    """What is assumed where the selected class is not given.

    If the same votes select and certify, α/2 is sound for the majority of all votes, and nothing else is.
    """
    if request.selected is not None:
        return ()
    otherwise = "no certificate" if request.procedure == "top-two" else "a certificate at twice this alpha"
    return (f"other votes than these selected class {predicted}; if these votes did, this is {otherwise}",)


def _alpha(request: RadiusRequest) -> float:
    if request.alpha is None:
        raise UsageError("--votes needs --alpha, such as --alpha 0.001")
    return float(_number("--alpha", request.alpha))


def _procedure(request: RadiusRequest) -> Procedure:
    return PROCEDURES[0] if request.procedure is None else o.choice("--bounds", request.procedure, PROCEDURES)


def _selected_class(request: RadiusRequest, votes_NK: IntArray) -> int:
    selected = int(votes_NK[0].argmax()) if request.selected is None else request.selected
    if not 0 <= selected < votes_NK.shape[1]:
        raise UsageError(f"--selected {selected}: the votes are of the classes 0 to {votes_NK.shape[1] - 1}")
    return selected


def _votes(request: RadiusRequest, text: str) -> IntArray:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"-?\d{1,18}", word):
            raise UsageError(f"--votes {text}: {word!r} is not a whole number of votes: give numbers such as 950,30,20")
    votes_NK = np.array([[int(word) for word in words]], dtype=np.int64)
    check_votes(votes_NK, n=request.n, classes=request.classes)
    return votes_NK


def _scale(certificate: SampledCertificate, request: RadiusRequest) -> float:
    if request.half_width is not None:
        return floor_to_float(_number("--half-width", request.half_width))
    sigma = _sigma(certificate, request)
    return sigma if certificate.scale == "sigma" else math.sqrt(3.0) * sigma


def _sigma(certificate: Certificate, request: RadiusRequest) -> float:
    """The float64 nearest to --sigma, as `rsbench certify` parses it.

    Rounding down would give a radius whose last bit differs from that of the stored run.
    """
    if request.sigma is None:
        scaled_by_half_width = isinstance(certificate, SampledCertificate) and certificate.scale == "half_width"
        alternative = " or --half-width" if scaled_by_half_width else ""
        raise UsageError(f"{certificate.name} needs --sigma{alternative}")
    return float(_number("--sigma", request.sigma))


def _image_facts(request: RadiusRequest) -> ImageFacts:
    caps_ND = None
    if request.image is not None:
        # Pillow takes a while to import.
        from rsbench.data.caps import caps_of_file

        caps_ND = caps_of_file(request.image, check_q(request.q or 255))[None, :]
    elif request.caps is not None:
        caps_ND = np.array([[float(_number("--caps", word)) for word in request.caps.split(",")]])
    return ImageFacts(q=request.q, dims=request.dim, caps_ND=caps_ND)


def _number(option: str, text: str) -> Fraction:
    """The exact value of a decimal or a fraction. Raises UsageError for any other text."""
    if not _NUMBER.fullmatch(text.strip()):
        raise UsageError(f"{option} {text}: give a decimal number or a fraction, such as 0.95 or 19/20")
    try:
        value = Fraction(text.strip())
        float(value)
    except ZeroDivisionError as error:
        raise UsageError(f"{option} {text}: the denominator is 0: give a fraction such as 19/20") from error
    except OverflowError as error:
        raise UsageError(f"{option} {text}: too large for a number") from error
    return value
