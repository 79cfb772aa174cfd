"""Options that several commands share, and where a value comes from: flag, RSBENCH_*, the TOML file, the default."""

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import typer

from rsbench.errors import UsageError
from rsbench.home import default_database
from rsbench.home import home as home
from rsbench.specs import Precision

Dataset = Annotated[
    str | None,
    typer.Option(envvar="RSBENCH_DATASET", help="digits, fashion-mnist, imagenet, or the path of an .npz file."),
]
DataRoot = Annotated[
    Path | None, typer.Option(envvar="RSBENCH_DATA_ROOT", help="Folder that holds the data set (default ./data).")
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
    typer.Option(envvar="RSBENCH_IMAGES", help="Which images: all, first:COUNT, every:STEP, or a file of indices."),
]
SelectionVotes = Annotated[
    int | None, typer.Option("--n0", envvar="RSBENCH_N0", help="Votes that select the class (default 100).")
]
EstimationVotes = Annotated[
    int | None, typer.Option("--n", envvar="RSBENCH_N", help="Fresh votes that certify it (default by data set).")
]
Alpha = Annotated[
    float | None,
    typer.Option(
        "--alpha", envvar="RSBENCH_ALPHA", help="Probability that a certificate is wrong, one-sided (default 0.001)."
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(
        envvar="RSBENCH_BATCH_SIZE", help="Rows of a batch: part of a run's identity (default by network and device)."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        envvar="RSBENCH_WORKERS", help="Ray workers; 0 certifies in this process (default: the GPUs or the cores)."
    ),
]
Device = Annotated[
    str | None, typer.Option(envvar="RSBENCH_DEVICE", help="cpu or cuda (default: cuda where it is usable).")
]
NoiseArithmetic = Annotated[
    str | None,
    typer.Option(
        envvar="RSBENCH_NOISE_ARITHMETIC",
        help="grid: uniform and splitting noise in whole numbers, for images on a grid (default there); float.",
    ),
]
ChosenPrecision = Annotated[
    str | None,
    typer.Option("--precision", envvar="RSBENCH_PRECISION", help="fp32 (default), tf32, or autocast: bf16, fp16."),
]
ChannelsLast = Annotated[
    bool | None,
    typer.Option(
        "--channels-last/--no-channels-last",
        envvar="RSBENCH_CHANNELS_LAST",
        help="Whether channels lie together in memory (default by network).",
    ),
]
Compile = Annotated[
    bool | None, typer.Option("--compile", envvar="RSBENCH_COMPILE", help="Compile the network by torch.compile.")
]
MixedDevices = Annotated[
    bool | None,
    typer.Option(
        "--mixed-devices",
        envvar="RSBENCH_MIXED_DEVICES",
        help="Let a run's chunks come from devices of several kinds, whose bytes may differ.",
    ),
]
Config = Annotated[Path | None, typer.Option(envvar="RSBENCH_CONFIG", help="TOML file with any of these options.")]
Database = Annotated[
    str | None,
    typer.Option("--db", envvar="RSBENCH_DB", help="A file (default $RSBENCH_HOME/results.db) or postgresql://…"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the work and its estimated time, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, in full precision.")]

T = TypeVar("T", str, int, float, bool)
Choice = TypeVar("Choice", bound=str)


class Settings:
    """The values of a TOML file, under the flags and the environment."""

    def __init__(self, file: Path | None, known: tuple[str, ...]) -> None:
        """Raises UsageError when the file cannot be read, or has a key that is no option."""
        self._file = file
        self._values: dict[str, Any] = {}
        if file is None:
            return
        try:
            self._values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"--config {file} cannot be read: {error}") from error
        for key in self._values:
            if key not in known:
                raise UsageError(f"{file}: unknown key {key!r}: choose from {', '.join(known)}")

    def pick(self, key: str, flag: T | None, default: T) -> T:
        """The flag (or its environment variable), else the file's value, else the default."""
        chosen = self.maybe(key, flag, type(default))
        return default if chosen is None else chosen

    def maybe(self, key: str, flag: T | None, kind: type[T]) -> T | None:
        """The same without a default. Raises UsageError when the file's value is of another type."""
        if flag is not None or key not in self._values:
            return flag
        value = self._values[key]
        if kind is str and isinstance(value, list):
            return kind(",".join(map(str, value)))
        if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
            return kind(value)
        if isinstance(value, bool) != (kind is bool) or not isinstance(value, (int, float) if kind is float else kind):
            raise UsageError(f"{self._file}: {key} = {value!r} is not of the type {kind.__name__}")
        return kind(value)

    def path(self, key: str, flag: Path | None) -> Path | None:
        """The same for a path; in the file it is text."""
        text = self.maybe(key, None if flag is None else str(flag), str)
        return None if text is None else Path(text)


def choice(flag: str, value: str, choices: tuple[Choice, ...]) -> Choice:
    """The value as one of the choices. Raises UsageError when it is none of them."""
    for candidate in choices:
        if candidate == value:
            return candidate
    raise UsageError(f"{flag} {value}: choose from {', '.join(choices)}")


def noise_arithmetic(value: str | None) -> Literal["grid", "float"] | None:
    """The arithmetic of the noise, None for the default. Raises UsageError when it is unknown."""
    choices: tuple[Literal["grid", "float"], ...] = ("grid", "float")
    return None if value is None else choice("--noise-arithmetic", value, choices)


def precision(value: str, device: str) -> Precision:
    """The precision of the network. Raises UsageError when it is unknown, or the device has not got it."""
    choices: tuple[Precision, ...] = get_args(Precision)
    chosen = choice("--precision", value, choices)
    if chosen == "tf32" and device == "cpu":
        raise UsageError("--precision tf32: TensorFloat-32 is of CUDA devices: choose fp32, bf16 or fp16")
    return chosen


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
            raise UsageError(f"--sigma {word}: not a number") from error
        if not 0.0 < value < float("inf"):
            raise UsageError(f"--sigma {word}: a standard deviation must be greater than 0")
        values.append(value)
    if not values:
        raise UsageError("--sigma names no standard deviation: give numbers between commas, such as 0.25,0.5")
    return tuple(dict.fromkeys(values))


def seeds(text: str) -> tuple[int, ...]:
    """The distinct seeds between commas. Raises UsageError unless all are whole numbers ≥ 0."""
    words = names(text)
    for word in words:
        if not word.isdecimal():
            raise UsageError(f"--seed {word}: give whole numbers ≥ 0, such as 0,1,2")
    if not words:
        raise UsageError("--seed names no seed: give whole numbers between commas, such as 0,1,2")
    return tuple(dict.fromkeys(map(int, words)))


def database(location: str | None) -> str:
    """The database to use."""
    return location or default_database()


def check_workers(workers: int | None) -> int | None:
    """Raises UsageError for fewer than 0 workers."""
    if workers is not None and workers < 0:
        raise UsageError(f"--workers {workers}: give 0 or more")
    return workers


def default_workers(device: str) -> int:
    """One worker for each GPU or core: those of the cluster that RAY_ADDRESS names, else those of this machine."""
    if "RAY_ADDRESS" in os.environ:
        from rsbench.cluster.session import cluster_resources

        return max(1, int(cluster_resources()["GPU" if device == "cuda" else "CPU"]))
    if device == "cuda":
        from rsbench.models.device import count_gpus

        return count_gpus()
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(device: str | None) -> Literal["cpu", "cuda"]:
    """The device to use. Raises UsageError when it is unknown, or not usable where the work runs on this machine."""
    from rsbench.models.device import default_device, prepare_device

    chosen = device or default_device()
    if chosen == "cpu":
        return "cpu"
    if chosen != "cuda":
        raise UsageError(f"--device {chosen}: choose cpu or cuda")
    # The driver of a cluster needs no GPU; its workers check theirs.
    if "RAY_ADDRESS" not in os.environ:
        prepare_device(chosen)
    return "cuda"
