"""`rsbench radius`: votes or probabilities in, radius out. No database, no torch, no state."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rsbench.cli import options as o
from rsbench.cli.calculator import Answer, Question, calculate, json_number
from rsbench.cli.output import print_json
from rsbench.errors import UsageError
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import Certificate
from rsbench.theory.rounding import floor_decimal

FAMILIES: tuple[str, ...] = ("gaussian", "uniform", "splitting", "deterministic-splitting")

_OF_VOTES = ("selected", "n", "classes", "alpha", "procedure")
_SAMPLED = ("votes", *_OF_VOTES, "pa", "pb", "sigma", "measure")
_TAKEN = {
    "cohen": (*_SAMPLED, "dim"),
    "lecuyer": (*_SAMPLED, "dim"),
    "li": (*_SAMPLED, "dim"),
    "lee": (*_SAMPLED, "half_width"),
    "box-log": (*_SAMPLED, "half_width"),
    "box": (*_SAMPLED, "half_width", "dim"),
    "box-image": (*_SAMPLED, "half_width", "image", "caps", "q"),
    "dssn": ("votes", "n", "classes", "sigma", "q", "measure"),
}


def radius(
    name: Annotated[str | None, typer.Argument(help=f"{', '.join(CERTIFICATES)}.")] = None,
    votes: Annotated[str | None, typer.Option(help="Votes of every class between commas, such as 950,30,20.")] = None,
    selected: Annotated[
        int | None, typer.Option(help="The class that other votes selected (default: the most voted).")
    ] = None,
    n: Annotated[
        int | None, typer.Option("--n", help="How many votes were drawn: refused unless they sum to it.")
    ] = None,
    classes: Annotated[int | None, typer.Option(help="Classes of the data set: refused unless all have votes.")] = None,
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
        str | None, typer.Option(help=f"Check that the theorem holds for it: {', '.join(FAMILIES)}.")
    ] = None,
    list_all: Annotated[bool, typer.Option("--list", help="Print every certificate and what it needs.")] = False,
    json: o.Json = False,
) -> None:
    """Compute a certified radius: a calculator. Numbers are decimals or fractions, taken exactly."""
    if list_all:
        _print_list(json)
        return
    if name is None or name not in CERTIFICATES:
        unknown = f"unknown certificate {name!r}" if name else "no certificate"
        raise UsageError(f"{unknown}: choose from {', '.join(CERTIFICATES)}")
    certificate = CERTIFICATES[name]
    family = None if measure is None else o.choice("--measure", measure, FAMILIES)
    question = Question(
        votes, selected, n, classes, alpha, procedure, pa, pb, sigma, half_width, dim, image, caps, q, family
    )
    _refuse_what_is_not_taken(name, question)
    try:
        answer = calculate(certificate, question)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if json:
        _print_json(certificate, question, answer)
    else:
        _print_text(certificate, question, answer)


def _refuse_what_is_not_taken(name: str, question: Question) -> None:
    """Raises UsageError for an option that would be without effect, or that contradicts another."""
    given = [key for key, value in asdict(question).items() if value is not None]
    for key in given:
        if key not in _TAKEN[name]:
            raise UsageError(f"{name} takes no {_flag(key)}: it takes {', '.join(map(_flag, _TAKEN[name]))}")
        if key in _OF_VOTES and "votes" not in given:
            raise UsageError(f"{_flag(key)} belongs to --votes, and there are none")
    for one, other in (("votes", "pa"), ("votes", "pb"), ("sigma", "half_width"), ("image", "caps")):
        if one in given and other in given:
            raise UsageError(f"{_flag(one)} and {_flag(other)} exclude each other")
    if "caps" in given and "q" in given:
        raise UsageError("--q belongs to --image: caps are not quantised")


def _flag(key: str) -> str:
    return "--bounds" if key == "procedure" else f"--{key.replace('_', '-')}"


def _threat_model(certificate: Certificate, question: Question) -> str:
    if question.measure is None:
        return certificate.threat_model
    return certificate.threat_models[question.measure]


def _print_json(certificate: Certificate, question: Question, answer: Answer) -> None:
    print_json(
        {
            "certificate": certificate.name,
            "radius": json_number(answer.radius),
            "predicted": answer.predicted,
            "bounds": answer.bounds,
            **answer.facts,
            "norms": list(certificate.norms),
            "ball": certificate.ball,
            "threat_model": _threat_model(certificate, question),
            "condition": certificate.condition,
            "source": certificate.source,
            "assumed": list(answer.notes),
        }
    )


def _print_text(certificate: Certificate, question: Question, answer: Answer) -> None:
    rows = [
        ("radius", _radius_text(certificate, answer)),
        ("ball", f"{certificate.ball}, {' and '.join(certificate.norms)}"),
        ("holds on", _threat_model(certificate, question)),
        ("needs", certificate.condition),
        ("theorem", certificate.source),
    ]
    if answer.bounds is not None:
        rows.append(
            ("bounds", f"pA ≥ {answer.bounds['pa']}, pB ≤ {answer.bounds['pb']} ({answer.bounds['procedure']})")
        )
    rows += [(key.replace("_", " "), str(value)) for key, value in answer.facts.items()]
    rows += [("assumed", note) for note in answer.notes]
    for heading, value in rows:
        print(f"{heading:<19} {value}")


def _radius_text(certificate: Certificate, answer: Answer) -> str:
    if answer.radius is None:
        return "abstain: the bounds leave another class possible"
    if answer.radius == math.inf:
        return "the whole box" if "the box [0,1]^d" in certificate.threat_models.values() else "unbounded"
    shown = floor_decimal(answer.radius, 9)
    return shown if answer.predicted is None else f"{shown} for class {answer.predicted}"


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
