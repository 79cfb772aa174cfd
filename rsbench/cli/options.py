"""Options that several commands share, and groups of options that a command takes as one object.

The value of an option comes from its flag, else from its environment variable RSBENCH_*, else from the TOML file of
--config, else it is the default. Typer implements this order: the file's values become the defaults of the command.
"""

import functools
import inspect
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, get_args

import typer

from rsbench.errors import UsageError
from rsbench.home import default_database
from rsbench.home import home as home
from rsbench.specs import Precision, Procedure

if TYPE_CHECKING:
    from rsbench.jobs.options import CertifyOptions

Device = Literal["cpu", "cuda"]
_DEVICES: tuple[Device, ...] = get_args(Device)
_ARITHMETICS: tuple[Literal["grid", "float"], ...] = ("grid", "float")
_PRECISIONS: tuple[Precision, ...] = get_args(Precision)
_PROCEDURES: tuple[Procedure, ...] = get_args(Procedure)


def read_config(context: typer.Context, file: Path | None) -> Path | None:
    """Make the values of a TOML file the defaults of the command that runs.

    Raises UsageError when the file cannot be read, or has a key that is no option of the command.
    """
    if file is None:
        return None
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"--config {file} cannot be read: {error}") from error
    # What only makes sense for one call, as --dry-run, has no environment variable and no key either.
    options: dict[str, Any] = {
        p.name: p for p in context.command.params if getattr(p, "envvar", None) and p.name and p.name != "config"
    }
    for key, value in values.items():
        if key not in options:
            raise UsageError(f"{file}: unknown key {key!r}: choose from {', '.join(options)}")
        if isinstance(value, dict) or isinstance(value, bool) != bool(options[key].is_flag):
            expected = "true or false" if options[key].is_flag else "a number, a text or a list of them"
            raise UsageError(f"{file}: {key} = {value!r} is not valid: give {expected}")
    context.default_map = {key: _as_typed(value) for key, value in values.items()}
    return file


def _as_typed(value: Any) -> Any:
    """A value of the file as one would type it, so that it is checked as a flag is."""
    if isinstance(value, bool):
        return value
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


Dataset = Annotated[
    str | None,
    typer.Option(envvar="RSBENCH_DATASET", help="digits, fashion-mnist, imagenet, or the path of an .npz file."),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="RSBENCH_DATA_ROOT", help="Folder that holds the dataset.", show_default="./data"),
]
Normalisation = Annotated[
    str | None,
    typer.Option(
        envvar="RSBENCH_NORMALISATION",
        help="How an external network normalises images: dataset, imagenet, cifar10, center, none, or MEAN/STD.",
    ),
]
Images = Annotated[
    str | None,
    typer.Option(
        envvar="RSBENCH_IMAGES",
        help="Test images to certify: all, first:COUNT, every:STEP, or a file with one index per line.",
        show_default="by dataset",
    ),
]
SelectionVotes = Annotated[
    int,
    typer.Option("--n0", envvar="RSBENCH_N0", help="Selection votes: noisy copies per image that select the class."),
]
EstimationVotes = Annotated[
    int | None,
    typer.Option(
        "--n",
        envvar="RSBENCH_N",
        help="Estimation votes: further noisy copies per image that certify the class.",
        show_default="by dataset",
    ),
]
Alpha = Annotated[
    float,
    typer.Option(
        "--alpha",
        envvar="RSBENCH_ALPHA",
        help="Failure probability: the probability that a certificate is wrong (one-sided).",
    ),
]
CertificateName = Annotated[
    str | None,
    typer.Option(
        "--certificate",
        envvar="RSBENCH_CERTIFICATE",
        help="Certificate that the run declares; rsbench radius --list prints them.",
        show_default="the method's",
    ),
]
Bounds = Annotated[
    str | None,
    typer.Option(
        "--bounds",
        envvar="RSBENCH_BOUNDS",
        help="How votes become confidence bounds: one-versus-rest or top-two.",
        show_default="the method's",
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        envvar="RSBENCH_BATCH_SIZE",
        help="Noisy copies per forward pass. Part of a run's identity.",
        show_default="by network and device",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        envvar="RSBENCH_WORKERS",
        help="Number of Ray workers. With 0, this process computes.",
        show_default="number of GPUs or cores",
    ),
]
DeviceName = Annotated[
    str | None,
    typer.Option("--device", envvar="RSBENCH_DEVICE", help="cpu or cuda.", show_default="cuda if usable"),
]
NoiseArithmetic = Annotated[
    str | None,
    typer.Option(
        envvar="RSBENCH_NOISE_ARITHMETIC",
        help="grid: draw uniform and splitting noise as integers, for pixels k/q; float: in float32.",
        show_default="grid where possible",
    ),
]
ChosenPrecision = Annotated[
    str,
    typer.Option("--precision", envvar="RSBENCH_PRECISION", help="fp32, tf32, or autocast to bf16 or fp16."),
]
ChannelsLast = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--no-channels-last",
        envvar="RSBENCH_CHANNELS_LAST",
        help="Memory format of the network's inputs.",
        show_default="by network",
    ),
]
Compile = Annotated[
    bool, typer.Option("--compile", envvar="RSBENCH_COMPILE", help="Compile the network with torch.compile.")
]
MixedDevices = Annotated[
    bool,
    typer.Option(
        "--mixed-devices",
        envvar="RSBENCH_MIXED_DEVICES",
        help="Allow devices of several kinds to compute one run, although their votes may differ.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        envvar="RSBENCH_CONFIG",
        help="TOML file with any of these options, written with _ instead of -.",
        callback=read_config,
        is_eager=True,
    ),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--db",
        envvar="RSBENCH_DB",
        help="Database: a file, or postgresql://USER@HOST/NAME.",
        show_default="$RSBENCH_HOME/results.db",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the work and its estimated time, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, in full precision.")]

Choice = TypeVar("Choice", bound=str)
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class NetworkOptions:
    """How a network votes on images, for certify, sweep and bench."""

    images: Images = None
    n0: SelectionVotes = 100
    n: EstimationVotes = None
    batch_size: BatchSize = None
    workers: Workers = None
    device: DeviceName = None
    noise_arithmetic: NoiseArithmetic = None
    precision: ChosenPrecision = "fp32"
    channels_last: ChannelsLast = None
    compile: Compile = False

    def certify_options(self, **more: Any) -> "CertifyOptions":
        """The options of the job, with the given ones in addition.

        Raises UsageError when one is not valid whatever the dataset and the network are, or the device is not usable.
        """
        from rsbench.jobs.options import CertifyOptions

        check_workers(self.workers)
        precision = choice("--precision", self.precision, _PRECISIONS)
        arithmetic: Literal["grid", "float"] | None = None
        if self.noise_arithmetic is not None:
            arithmetic = choice("--noise-arithmetic", self.noise_arithmetic, _ARITHMETICS)
        options = CertifyOptions(
            images=self.images,
            n_select=self.n0,
            n_estimate=self.n,
            batch_size=self.batch_size,
            noise_arithmetic=arithmetic,
            precision=precision,
            channels_last=self.channels_last,
            torch_compile=self.compile,
            **more,
        )
        from rsbench.models.device import usable_device

        # Finding a GPU may take seconds, so that a mistake in another option is reported first.
        return replace(options, device=usable_device(self.device, precision))


@dataclass(frozen=True)
class CertificationOptions(NetworkOptions):
    """How images are certified, for certify and sweep."""

    alpha: Alpha = 0.001
    certificate: CertificateName = None
    bounds: Bounds = None
    mixed_devices: MixedDevices = False

    def certify_options(self, **more: Any) -> "CertifyOptions":
        """As for `NetworkOptions`."""
        return super().certify_options(
            failure_probability=self.alpha,
            certificate=self.certificate,
            procedure=None if self.bounds is None else choice("--bounds", self.bounds, _PROCEDURES),
            mixed_devices=self.mixed_devices,
            **more,
        )


@dataclass(frozen=True)
class FileOptions:
    """Where a command reads and writes."""

    data_root: DataRoot = None
    config: Config = None
    db: Database = None


def with_option_groups(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Let a command take a dataclass of options as one parameter: Typer sees one parameter for each of its fields."""
    signature = inspect.signature(command)
    groups: dict[str, Any] = {p.name: p.annotation for p in signature.parameters.values() if is_dataclass(p.annotation)}

    @functools.wraps(command)
    def with_fields(**values: Any) -> Returned:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return command(**values)

    parameters = list(_fields_for_groups(signature.parameters.values(), groups))
    with_fields.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_fields


def _fields_for_groups(
    parameters: Iterable[inspect.Parameter], groups: Mapping[str, Any]
) -> Iterator[inspect.Parameter]:
    keyword = inspect.Parameter.KEYWORD_ONLY
    for parameter in parameters:
        if parameter.name not in groups:
            yield parameter.replace(kind=keyword)
            continue
        for field in fields(groups[parameter.name]):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(field.name, keyword, default=default, annotation=field.type)


def choice(flag: str, value: str, choices: tuple[Choice, ...]) -> Choice:
    """The value as one of the choices. Raises UsageError when it is none of them."""
    for candidate in choices:
        if candidate == value:
            return candidate
    raise UsageError(f"{flag} {value}: choose from {', '.join(choices)}")


def names(text: str) -> tuple[str, ...]:
    """The distinct words between commas."""
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def sigmas(text: str) -> tuple[float, ...]:
    """The distinct standard deviations between commas. Raises UsageError unless all are positive numbers."""
    values = []
    for word in names(text):
        try:
            value = float(word)
        except ValueError as error:
            raise UsageError(f"--sigma {word}: this is not a number: give numbers such as 0.25,0.5") from error
        if not 0.0 < value < float("inf"):
            raise UsageError(f"--sigma {word}: a standard deviation must be greater than 0")
        values.append(value)
    if not values:
        raise UsageError("--sigma is empty: give numbers between commas, such as 0.25,0.5")
    return tuple(dict.fromkeys(values))


def seeds(text: str) -> tuple[int, ...]:
    """The distinct seeds between commas. Raises UsageError unless all are whole numbers ≥ 0."""
    words = names(text)
    for word in words:
        if not word.isdecimal():
            raise UsageError(f"--seed {word}: give whole numbers ≥ 0, such as 0,1,2")
    if not words:
        raise UsageError("--seed is empty: give whole numbers between commas, such as 0,1,2")
    return tuple(dict.fromkeys(map(int, words)))


def check_workers(workers: int | None) -> int | None:
    """Return the number of workers. Raises UsageError when it is negative."""
    if workers is not None and workers < 0:
        raise UsageError(f"--workers {workers}: give 0 or more")
    return workers


def database(location: str | None) -> str:
    """The database to use."""
    return location or default_database()
