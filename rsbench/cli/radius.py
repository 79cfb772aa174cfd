"""`rsbench radius`: a calculator that turns votes or probabilities into a radius, without a database or torch."""

import math
from pathlib import Path
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


def radius(
    name: Annotated[str | None, typer.Argument(help=f"{', '.join(CERTIFICATES)}, or that of a plugin.")] = None,
    votes: Annotated[str | None, typer.Option(help="Votes of every class between commas, such as 950,30,20.")] = None,
    selected: Annotated[
        int | None, typer.Option(help="The class that other votes selected (default: the most voted).")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="How many votes were drawn; votes with another sum are refused.")
    ] = None,
    classes: Annotated[
        int | None, typer.Option(help="Classes of the dataset; votes of another number of classes are refused.")
    ] = None,
    alpha: Annotated[str | None, typer.Option(help="Probability that the certificate is wrong, one-sided.")] = None,
    procedure: Annotated[
        str | None, typer.Option("--bounds", help="one-versus-rest (default) or top-two, which spends α on two bounds.")
    ] = None,
    pa: Annotated[str | None, typer.Option(help="Lower bound on the class's probability, instead of votes.")] = None,
    pb: Annotated[str | None, typer.Option(help="Upper bound on the runner-up's (default and most: 1 − pa).")] = None,
    sigma: Annotated[str | None, typer.Option(help="Standard deviation of the noise.")] = None,
    half_width: Annotated[
        str | None, typer.Option(help="λ of uniform or splitting noise, instead of sigma: √3·σ.")
    ] = None,
    dim: Annotated[int | None, typer.Option(help="Pixels times channels: for box, and for an l∞ radius of l2.")] = None,
    image: Annotated[
        Path | None, typer.Option(help="For box-image: a picture or .npy array, as the network sees it.")
    ] = None,
    caps: Annotated[str | None, typer.Option(help="For box-image: max(x, 1−x) of every pixel, between commas.")] = None,
    q: Annotated[int | None, typer.Option("--q", help="Quantisation steps: pixels are k/q (8 bits: 255).")] = None,
    measure: Annotated[
        str | None, typer.Option(help=f"Check that the theorem holds for this noise: {', '.join(FAMILIES)}.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Print every certificate and what it needs.")] = False,
    json: o.Json = False,
) -> None:
    """Compute a certified radius: a calculator. Numbers are decimals or fractions, taken exactly."""
    if list_all:
        _print_list(json)
        return
    if name is None:
        raise UsageError(f"no certificate is named: choose from {', '.join(CERTIFICATES)}")
    certificate = CERTIFICATES.lookup(name)
    family = None if measure is None else o.choice("--measure", measure, FAMILIES.names())
    request = RadiusRequest(
        votes=votes,
        selected=selected,
        n=n,
        classes=classes,
        alpha=alpha,
        procedure=procedure,
        pa=pa,
        pb=pb,
        sigma=sigma,
        half_width=half_width,
        dim=dim,
        image=image,
        caps=caps,
        q=q,
        measure=family,
    )
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
