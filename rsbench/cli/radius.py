"""`rsbench radius`: a calculator that turns votes or probabilities into a radius, without a database or torch."""

import math
from typing import Annotated, Any

import typer

from rsbench.cli import options as o
from rsbench.cli.calculator import RadiusRequest, RadiusResult, calculate, is_exact, json_number
from rsbench.cli.output import print_json
from rsbench.errors import UsageError
from rsbench.families import FAMILIES
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Certificate, SampledCertificate
from rsbench.theory.rounding import floor_decimal

_OF_VOTES = ("selected", "n", "classes", "alpha", "procedure")


@o.with_option_groups
def radius(
    *,
    name: Annotated[str | None, typer.Argument(help=f"{', '.join(CERTIFICATES)}, or that of a plugin.")] = None,
    request: RadiusRequest,
    list_all: Annotated[bool, typer.Option("--list", help="Print every certificate and what it needs.")] = False,
    json: o.Json = False,
) -> None:
    """Compute a certified radius from votes or probabilities.

    Numbers are decimals or fractions, and are taken exactly.
    """
    if list_all:
        _print_list(json)
        return
    if name is None:
        raise UsageError(f"the name of a certificate is missing: choose from {', '.join(CERTIFICATES)}")
    certificate = CERTIFICATES.lookup(name)
    if request.measure is not None:
        o.choice("--measure", request.measure, FAMILIES.names())
    _check_options(certificate, request)
    try:
        result = calculate(certificate, request)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if json:
        _print_json(certificate, request, result)
    else:
        _print_text(certificate, request, result)


def _accepted_options(certificate: Certificate) -> tuple[str, ...]:
    """The fields of a request that have a meaning for a certificate."""
    if isinstance(certificate, SampledCertificate):
        accepted = ["votes", *_OF_VOTES, "pa", "pb", "sigma", "measure"]
        if certificate.scale == "half_width":
            accepted.append("half_width")
    elif is_exact(certificate):
        accepted = ["votes", "n", "classes", "sigma", "q", "measure"]
    else:
        accepted = ["votes", *_OF_VOTES, "sigma", "measure"]
    if certificate.uses_dims or "l2" in certificate.norms:
        accepted.append("dim")
    if certificate.looks_at_images:
        accepted += ["image", "caps", *([] if "q" in accepted else ["q"])]
    return tuple(accepted)


def _check_options(certificate: Certificate, request: RadiusRequest) -> None:
    """Raise UsageError for an option that has no meaning for the certificate, or that contradicts another one."""
    given, accepted = request.given(), _accepted_options(certificate)
    for name in given:
        if name not in accepted:
            raise UsageError(
                f"{certificate.name} takes no {_flag(name)}: it takes {', '.join(_flag(option) for option in accepted)}"
            )
        if name in _OF_VOTES and "votes" not in given:
            raise UsageError(f"{_flag(name)} belongs to --votes, and there are none")
    for first, second in (("votes", "pa"), ("votes", "pb"), ("sigma", "half_width"), ("image", "caps")):
        if first in given and second in given:
            raise UsageError(f"{_flag(first)} and {_flag(second)} exclude each other")
    if "caps" in given and "q" in given:
        raise UsageError("--q belongs to --image: caps are not quantised")


def _flag(name: str) -> str:
    """The option on the command line of a field of a request."""
    return "--bounds" if name == "procedure" else f"--{name.replace('_', '-')}"


def _threat_model(certificate: Certificate, request: RadiusRequest) -> str:
    if request.measure is None:
        return certificate.threat_model
    return certificate.threat_models[request.measure]


def _print_json(certificate: Certificate, request: RadiusRequest, result: RadiusResult) -> None:
    print_json(
        {
            "certificate": certificate.name,
            "radius": json_number(result.radius),
            "predicted": result.predicted,
            "bounds": result.bounds,
            **result.facts,
            "norms": list(certificate.norms),
            "ball": certificate.ball,
            "threat_model": _threat_model(certificate, request),
            "condition": certificate.condition,
            "source": certificate.source,
            "assumed": list(result.assumptions),
        }
    )


def _print_text(certificate: Certificate, request: RadiusRequest, result: RadiusResult) -> None:
    rows = [
        ("radius", _radius_text(certificate, result)),
        ("ball", f"{certificate.ball}, {' and '.join(certificate.norms)}"),
        ("holds on", _threat_model(certificate, request)),
        ("needs", certificate.condition),
        ("theorem", certificate.source),
    ]
    if result.bounds is not None:
        rows.append(
            ("bounds", f"pA ≥ {result.bounds['pa']}, pB ≤ {result.bounds['pb']} ({result.bounds['procedure']})")
        )
    rows += [(key.replace("_", " "), str(value)) for key, value in result.facts.items()]
    rows += [("assumed", assumption) for assumption in result.assumptions]
    for heading, value in rows:
        print(f"{heading:<19} {value}")


def _radius_text(certificate: Certificate, result: RadiusResult) -> str:
    if result.radius is None:
        return "abstain: the bounds leave another class possible"
    if result.radius == math.inf:
        return "the whole box" if "the box [0,1]^d" in certificate.threat_models.values() else "unbounded"
    shown = floor_decimal(result.radius, 9)
    return shown if result.predicted is None else f"{shown} for class {result.predicted}"


def _print_list(as_json: bool) -> None:
    if as_json:
        print_json({"certificates": [_declared(certificate) for certificate in CERTIFICATES.values()]})
        return
    for certificate in CERTIFICATES.values():
        print(f"{certificate.name:<10} {' and '.join(certificate.norms)}, {certificate.ball} ball")
        for heading, text in (
            ("holds on", certificate.threat_model),
            ("needs", certificate.condition),
            ("theorem", certificate.source),
        ):
            print(f"  {heading:<9} {text}")


def _declared(certificate: Certificate) -> dict[str, Any]:
    return {
        "name": certificate.name,
        "norms": list(certificate.norms),
        "ball": certificate.ball,
        "threat_models": dict(certificate.threat_models),
        "condition": certificate.condition,
        "source": certificate.source,
    }
