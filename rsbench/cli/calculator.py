"""What `rsbench radius` computes: a question as it was typed, and its answer."""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from rsbench.cli import options as o
from rsbench.errors import UsageError
from rsbench.records import IntArray
from rsbench.specs import PROCEDURES
from rsbench.theory.certificate import Certificate, ImageFacts, SampledCertificate, check_q, check_votes
from rsbench.theory.deterministic_l1 import deterministic_l1_steps
from rsbench.theory.gaussian_l2 import linf_radius
from rsbench.theory.probability_bounds import ProbabilityBounds, bounds_of_votes
from rsbench.theory.rounding import floor_quotient, floor_to_float

# A decimal or a fraction, of a size that is quick to compute with exactly.
_NUMBER = re.compile(r"[+-]?(\d{1,40}/\d{1,40}|(\d{1,40}(\.\d{0,400})?|\.\d{1,400})([eE][+-]?\d{1,3})?)")


@dataclass(frozen=True)
class Question:
    """The options as they were typed, None where they were not."""

    votes: str | None
    selected: int | None
    n: int | None
    classes: int | None
    alpha: str | None
    procedure: str | None
    pa: str | None
    pb: str | None
    sigma: str | None
    half_width: str | None
    dim: int | None
    image: Path | None
    caps: str | None
    q: int | None
    measure: str | None


@dataclass(frozen=True)
class Answer:
    """What came out. `radius` is None on abstention; `notes` says what was taken for granted."""

    radius: float | None
    predicted: int | None
    bounds: dict[str, Any] | None
    facts: dict[str, Any]
    notes: tuple[str, ...] = ()


def calculate(certificate: Certificate, question: Question) -> Answer:
    """The certificate's answer. Raises UsageError or ValueError, in one line, when the question has none."""
    if question.measure is not None:
        certificate.check_measure(question.measure)
    if isinstance(certificate, SampledCertificate):
        return _from_samples(certificate, question)
    return _from_every_base(question)


def json_number(value: float | None) -> float | str | None:
    """JSON has no infinity."""
    return "inf" if value == math.inf else value


def _from_samples(certificate: SampledCertificate, question: Question) -> Answer:
    if question.votes is not None:
        predicted, bounds, facts = _bounds_of_votes(question, question.votes)
        notes = () if question.selected is not None else (_same_votes_note(question, predicted),)
    elif question.pa is not None:
        upper = None if question.pb is None else _number("--pb", question.pb)
        bounds = ProbabilityBounds.exact(_number("--pa", question.pa), upper)
        predicted, facts, notes = None, {}, ()
    else:
        raise UsageError(f"{certificate.name} needs --votes and --alpha, or --pa")
    scale = _scale(certificate, question)
    found = float(certificate.radius(bounds, scale, _images(question))[0])
    told = {
        "procedure": "given" if question.votes is None else question.procedure or PROCEDURES[0],
        "pa": float(bounds.lower_N[0]),
        "pb": float(bounds.upper_N[0]),
    }
    facts[certificate.scale] = scale
    if bounds.gap_N[0] <= 0.0:
        return Answer(None, None, told, facts, notes)
    if question.dim is not None and "l2" in certificate.norms:
        facts["linf_radius"] = json_number(linf_radius(found, question.dim))
    return Answer(found, predicted, told, facts, notes)


def _same_votes_note(question: Question, predicted: int) -> str:
    """Class and bound from the same votes: at α/2 that is sound for a majority of all votes, and for nothing else."""
    otherwise = "no certificate" if question.procedure == "top-two" else "one at twice this alpha"
    return f"other votes than these selected class {predicted}; if these did, this is {otherwise}"


def _bounds_of_votes(question: Question, text: str) -> tuple[int, ProbabilityBounds, dict[str, Any]]:
    votes_NK = _votes(question, text)
    if question.alpha is None:
        raise UsageError("--votes needs --alpha, such as --alpha 0.001")
    alpha = float(_number("--alpha", question.alpha))
    predicted = int(votes_NK[0].argmax()) if question.selected is None else question.selected
    if not 0 <= predicted < votes_NK.shape[1]:
        raise UsageError(f"--selected {predicted}: the votes are of the classes 0 to {votes_NK.shape[1] - 1}")
    procedure = PROCEDURES[0] if question.procedure is None else o.choice("--bounds", question.procedure, PROCEDURES)
    bounds, _ = bounds_of_votes(np.array([predicted]), votes_NK, alpha, procedure)
    return predicted, bounds, {"n": int(votes_NK.sum()), "failure_probability": alpha, "selected": predicted}


def _votes(question: Question, text: str) -> IntArray:
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if not re.fullmatch(r"-?\d{1,18}", word):
            raise UsageError(f"--votes {text}: {word!r} is no whole number of votes")
    votes_NK = np.array([[int(word) for word in words]], dtype=np.int64)
    check_votes(votes_NK, n=question.n, classes=question.classes)
    return votes_NK


def _scale(certificate: SampledCertificate, question: Question) -> float:
    if question.half_width is not None:
        return floor_to_float(_number("--half-width", question.half_width))
    if question.sigma is None:
        other = " or --half-width" if certificate.scale == "half_width" else ""
        raise UsageError(f"{certificate.name} needs --sigma{other}")
    # The very float that a run with this sigma has, so that its radii are found again bit by bit.
    sigma = float(_number("--sigma", question.sigma))
    return sigma if certificate.scale == "sigma" else math.sqrt(3.0) * sigma


def _images(question: Question) -> ImageFacts:
    if question.image is not None:
        # Pillow takes a while to import, and few ask for it.
        from rsbench.data.caps import caps_of_file

        return ImageFacts(caps_ND=caps_of_file(question.image, check_q(question.q or 255))[None, :])
    if question.caps is not None:
        caps_D = [float(_number("--caps", word)) for word in question.caps.split(",")]
        return ImageFacts(caps_ND=np.array([caps_D]))
    return ImageFacts(dims=question.dim)


def _from_every_base(question: Question) -> Answer:
    if question.votes is None or question.q is None:
        raise UsageError("dssn needs the --votes of all its bases, and --q")
    check_q(question.q)
    votes_NK = _votes(question, question.votes)
    levels = int(votes_NK.sum())
    if question.sigma is not None:
        from rsbench.specs import deterministic_levels

        expected = deterministic_levels(float(_number("--sigma", question.sigma)), question.q)
        if expected != levels:
            raise UsageError(f"--sigma {question.sigma} and --q {question.q} make {expected} bases, not {levels} votes")
    top_N, steps_N = deterministic_l1_steps(votes_NK)
    radius = float(floor_quotient(steps_N, question.q)[0])
    return Answer(radius, int(top_N[0]), None, {"n": levels, "q": question.q, "steps": int(steps_N[0])})


def _number(flag: str, text: str) -> Fraction:
    """The exact value of a decimal or a fraction. Raises UsageError when the text is none."""
    if not _NUMBER.fullmatch(text.strip()):
        raise UsageError(f"{flag} {text}: give a decimal number or a fraction, such as 0.95 or 19/20")
    try:
        value = Fraction(text.strip())
        float(value)
    except (ZeroDivisionError, OverflowError) as error:
        raise UsageError(f"{flag} {text}: too large for a number") from error
    return value
