"""Commands that repeat a run or add a curve to it."""

import shlex
from dataclasses import dataclass

from rsbench.families import FAMILIES
from rsbench.methods import METHODS
from rsbench.records import RunRecord
from rsbench.specs import CertificationSpec, ImportSpec


@dataclass(frozen=True)
class Command:
    """A command line."""

    line: str
    needs: tuple[str, ...]
    """Files that it needs, a line for each."""


def command_of(run: RunRecord) -> Command:
    """Return the command that repeats a run.

    It names the checkpoint by its SHA-256, which a store that trained or certified it can find.
    """
    spec = run.spec
    words, needs = _imported(run, spec) if isinstance(spec, ImportSpec) else _certified(run, spec)
    if run.dataset.name.endswith(".npz") and run.source is None:
        needs = [f"{run.dataset.name}: the file with the images; give its path", *needs]
    return Command(shlex.join(["rsbench", *words]), tuple(needs))


def curve_command(run: RunRecord) -> str | None:
    """Return the command that adds the run's curve to a run; None for the curve that the run declared."""
    curve = run.curve
    if curve is None or curve.is_primary:
        return None
    words = ["rsbench", "recertify", run.fingerprint, "--certificate", curve.certificate, "--bounds", curve.procedure]
    if curve.failure_probability is not None:
        words += ["--n", str(curve.n), "--alpha", repr(curve.failure_probability)]
    return shlex.join([*words, *(["--declared", curve.statement] if curve.statement else [])])


def images_option(canonical: str, dataset_images: int) -> str | None:
    """Return the `--images` option for the canonical text of chosen images; None if it has to be a file of indices."""
    if ":" not in canonical:
        return None
    start, stop, step = map(int, canonical.split(":"))
    if start != 0:
        return None
    if step == 1:
        return "all" if stop == dataset_images else f"first:{stop}"
    return f"every:{step}" if stop - 1 + step >= dataset_images else None


def _certified(run: RunRecord, spec: CertificationSpec) -> tuple[list[str], list[str]]:
    images, needs = _images(run)
    words = ["certify", "--dataset", spec.dataset, "--checkpoint", spec.checkpoint_sha256, "--images", images]
    words += _protocol_options(run, spec)
    if spec.budget is not None:
        words += ["--n0", str(spec.budget.n_select), "--n", str(spec.budget.n_estimate)]
        words += ["--alpha", repr(spec.budget.failure_probability), "--seed", str(spec.seed)]
    words += ["--batch-size", str(spec.batch_size), "--device", spec.device]
    return [*words, *arithmetic_options(spec)], needs


def _protocol_options(run: RunRecord, spec: CertificationSpec) -> list[str]:
    """Options for certificate, bounds and σ, where they are not those that the checkpoint's training implies."""
    method, words = METHODS.get(spec.method), []
    training = None if method is None else METHODS[method.training]
    if training is None or spec.certificate != training.certificate:
        words += ["--certificate", spec.certificate]
    if training is None or spec.procedure != training.procedure:
        words += ["--bounds", spec.procedure]
    if run.training_sigma not in (None, spec.sigma):
        words += ["--certify-sigma", repr(spec.sigma)]
    return words


def arithmetic_options(spec: CertificationSpec) -> list[str]:
    """Return the options that give a run's arithmetic, without defaults that no network and no dataset changes."""
    words, family = [], FAMILIES.get(spec.family)
    if spec.noise == "philox4x32-float" and family is not None and family.supports_integer_noise:
        words += ["--noise-arithmetic", "float"]
    if spec.precision != "fp32":
        words += ["--precision", spec.precision]
    words.append("--channels-last" if spec.channels_last else "--no-channels-last")
    words += ["--compile"] if spec.torch_compile else []
    words += ["--mixed-devices"] if spec.mixed_devices else []
    return words


def _images(run: RunRecord) -> tuple[str, list[str]]:
    option = images_option(run.images, run.dataset.images)
    if option is not None:
        return option, []
    file = f"images-{run.fingerprint[:12]}.txt"
    return file, [f"{file}: the {run.image_count:,} indices {_indices_text(run.images)}, one per line"]


def _indices_text(canonical: str) -> str:
    if ":" not in canonical:
        return canonical
    start, stop, step = map(int, canonical.split(":"))
    return f"{start}, {start + step}, … to {stop - 1}" if stop - start > 2 * step else f"{start} to {stop - 1}"


def _imported(run: RunRecord, spec: ImportSpec) -> tuple[list[str], list[str]]:
    file, method = run.source or f"FILE.{spec.source}", METHODS.get(spec.method)
    needs = [f"{file}: the file whose sha256 is {spec.content_sha256}"]
    words = ["import", spec.source, file, "--dataset", spec.dataset, "--method", spec.method]
    if method is None or method.certificate != spec.certificate:
        words += ["--certificate", spec.certificate]
    if method is None:
        words += ["--measure", spec.family]
    words += ["--sigma", repr(spec.sigma)]
    budget = {"--n0": spec.n_select, "--n": spec.n_estimate, "--alpha": spec.failure_probability}
    words += [word for flag, value in budget.items() if value is not None for word in (flag, repr(value))]
    info = run.dataset
    words += ["--classes", str(info.classes), "--shape", ",".join(map(str, info.shape))]
    return [*words, *([] if info.q is None else ["--q", str(info.q)])], needs
