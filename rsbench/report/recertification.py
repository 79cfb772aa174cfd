"""Other certificates, n and α of a run that is sealed."""

from dataclasses import dataclass
from typing import get_args

from rsbench.errors import UsageError
from rsbench.records import RunRecord
from rsbench.specs import MeasureSpec, Procedure
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import SampledCertificate
from rsbench.theory.confidence import smallest_certifying_n
from rsbench.theory.probability_bounds import ProbabilityBounds
from rsbench.theory.recertification import Question, votes_of


@dataclass(frozen=True, eq=False)
class Recertifiable:
    """A sealed run whose votes are known: what it certified itself, and at which n it can be asked again."""

    run: RunRecord
    measure: MeasureSpec
    declared: Question
    prefixes: tuple[int, ...]

    @property
    def certificates(self) -> tuple[str, ...]:
        """The certificates that hold for its noise."""
        return tuple(name for name, known in CERTIFICATES.items() if self.run.family in known.threat_models)

    def refusal(self, certificate: str) -> str | None:
        """Why one of these certificates does not hold at the run's σ, None where it does."""
        known = CERTIFICATES[certificate]
        if not isinstance(known, SampledCertificate) or known.looks_at_images:
            return None
        try:
            # A theorem's conditions on its scale do not depend on a vote.
            known.radius(ProbabilityBounds.one_versus_rest([]), getattr(self.measure, known.scale))
        except ValueError as error:
            return str(error)
        return None


def recertifiable(store: Store, run: RunRecord) -> Recertifiable:
    """What can be asked of a run. Raises UsageError when nothing can."""
    name = f"run {run.fingerprint[:12]}"
    if run.curve is None:
        raise UsageError(f"{name} is not sealed: the command that began it finishes it")
    if run.tier == "imported-radii":
        raise UsageError(f"{name} was imported with its radii only: without votes nothing can be recertified")
    first = next(store.image_blocks(run.id, 1))
    if first.sigma_N is not None:
        raise UsageError(f"{name} has a σ of each image's own: without a memory there is no certificate to compute")
    procedure = next(known for known in get_args(Procedure) if known == run.procedure)
    prefixes = votes_of(first).prefixes
    declared = Question(run.certificate, procedure, prefixes[-1], run.failure_probability)
    return Recertifiable(run, run.spec.measure, declared, prefixes)


def checked_question(
    known: Recertifiable,
    *,
    certificate: str | None = None,
    procedure: Procedure | None = None,
    n: int | None = None,
    failure_probability: float | None = None,
) -> Question:
    """The question to a run, with what it declared itself where nothing else is asked.

    Raises UsageError when the certificate is unknown or does not hold for the run's noise, n is no declared prefix, or
    no vote could certify anything.
    """
    name, declared = f"run {known.run.fingerprint[:12]}", known.declared
    asked = CERTIFICATES.get(certificate or declared.certificate)
    if asked is None:
        raise UsageError(f"unknown certificate {certificate!r}: choose from {', '.join(known.certificates)}")
    if asked.name not in known.certificates:
        raise UsageError(
            f"{asked.name} does not hold for the {known.run.family} noise of {name}: it needs {asked.condition}; "
            f"choose from {', '.join(known.certificates)}"
        )
    if (refusal := known.refusal(asked.name)) is not None:
        raise UsageError(f"{name}: {refusal}")
    if n is not None and n not in known.prefixes:
        raise UsageError(f"{name} keeps no votes at n = {n:,}: choose from {', '.join(map(str, known.prefixes))}")
    if not isinstance(asked, SampledCertificate):
        return Question(asked.name, declared.procedure, declared.n, None)
    alpha = declared.failure_probability if failure_probability is None else failure_probability
    if alpha is None or not 0.0 < alpha < 1.0:
        raise UsageError(f"--alpha {alpha}: give a number between 0 and 1, such as 0.001")
    question = Question(asked.name, procedure or declared.procedure, n or declared.n, alpha)
    if question.procedure == "one-versus-rest" and question.n < (needed := smallest_certifying_n(alpha)):
        raise UsageError(f"--n {question.n} can certify nothing at --alpha {alpha:g}: {needed} would do")
    return question
