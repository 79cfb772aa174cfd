"""Registries of named things, and the plugins that add to them.

A plugin is a Python module that registers something when it is imported:

    from rsbench.theory.catalogue import CERTIFICATES

    CERTIFICATES.register("my-certificate", MyCertificate())

`load_plugins` imports the modules that installed packages declare as entry points of the group `rsbench.plugins`, and
those that the environment variable RSBENCH_PLUGINS names. The command line adds the modules of `--plugin` to that
variable, so that every process that the command starts loads them too.
"""

import hashlib
import importlib
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from threading import RLock
from types import ModuleType
from typing import Any, TypeVar

from rsbench.errors import RsbenchError, UsageError, first_line

ENTRY_POINT_GROUP = "rsbench.plugins"
ENVIRONMENT_VARIABLE = "RSBENCH_PLUGINS"

T = TypeVar("T")

_INSTALL = "install it, or add its folder to PYTHONPATH"
# Neither a comma, which separates names on the command line, nor a colon, which separates a module from its attribute.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]*")


class Registry(Mapping[str, T]):
    """A mapping from names to values of one kind, in the order of registration.

    noun: what a value is called in messages, such as `certificate`.
    kind: the class of which every value must be an instance; None if every value must be a function.
    builtin: the values that rsbench itself provides.
    check: called with a name and a value before they are registered; it raises ValueError to refuse them.
    """

    def __init__(
        self,
        noun: str,
        kind: type | None,
        builtin: Mapping[str, T] | None = None,
        *,
        check: Callable[[str, T], None] | None = None,
    ) -> None:
        self.noun = noun
        self._kind = kind
        self._check = check
        self._values: dict[str, T] = {}
        for name, value in (builtin or {}).items():
            self.register(name, value)

    def register(self, name: str, value: T) -> T:
        """Add a value under a new name, and return it.

        Raises UsageError if the name is taken or malformed, or if the value is not of this registry's kind.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise UsageError(
                f"{self.noun} name {name!r} is not valid: use letters, digits and . + _ -, and begin with a letter "
                "or a digit"
            )
        if name in self._values:
            raise UsageError(f"{self.noun} {name!r} is already registered: choose another name")
        if not (callable(value) if self._kind is None else isinstance(value, self._kind)):
            actual = f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"
            raise UsageError(f"{self.noun} {name!r} is {actual}: register {self._expected()}")
        if self._check is not None:
            try:
                self._check(name, value)
            except ValueError as error:
                raise UsageError(f"{self.noun} {name!r} cannot be registered: {error}") from error
        self._values[name] = value
        return value

    def _expected(self) -> str:
        if self._kind is None:
            return "a function"
        if self._kind is type:
            return "a class"
        return f"an instance of {self._kind.__module__}.{self._kind.__qualname__}"

    @contextmanager
    def registered(self, name: str, value: T) -> Iterator[T]:
        """Register a value for the duration of a `with` block, for example in a test."""
        self.register(name, value)
        try:
            yield value
        finally:
            del self._values[name]

    def lookup(self, name: str) -> T:
        """The value of that name. Raises UsageError, which lists the names that exist, when there is none."""
        if name not in self._values:
            raise UsageError(
                f"unknown {self.noun} {name!r}: choose from {', '.join(self._values)}, or load the plugin that "
                "registers it with --plugin"
            )
        return self._values[name]

    def names(self) -> tuple[str, ...]:
        """Every registered name."""
        return tuple(self._values)

    def __getitem__(self, name: str) -> T:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


# The modules of other people that this process uses: plugins, and those of `import_object`. Each has the digest of the
# code that was imported, which a later change of the files does not alter.
_loaded: dict[str, str] = {}
# A plugin that failed may have registered half of its names, so a second attempt would report those as taken.
_failed: dict[str, UsageError] = {}
# Streamlit runs each session in a thread of its own.
_lock = RLock()


def request_plugins(modules: Iterable[str]) -> None:
    """Add modules to RSBENCH_PLUGINS: `load_plugins` imports them in this process and in those that it starts."""
    os.environ[ENVIRONMENT_VARIABLE] = ",".join(dict.fromkeys([*_requested(), *modules]))


def load_plugins() -> None:
    """Import every plugin that is installed or requested; those that are loaded already stay as they are.

    Raises UsageError for a plugin that cannot be imported or that registers something invalid.
    """
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        distribution = entry_point.dist.name if entry_point.dist else "an installed package"
        _load(entry_point.module, f"repair or uninstall {distribution}, which declares it")
    for module in _requested():
        _load(module, _INSTALL)


def import_object(reference: str, noun: str) -> Any:
    """The object that `package.module:attribute` refers to.

    Raises UsageError when the module cannot be imported, or lacks the attribute. `noun` is what messages call it.
    """
    module_name, _, attribute = reference.partition(":")
    if not module_name or not attribute:
        raise UsageError(f"{noun} {reference!r} is not of the form package.module:name")
    with _lock:
        module = _import(
            module_name, f"{noun} {reference!r}: the module", "install it, or add its folder to PYTHONPATH"
        )
        # The version of rsbench itself is recorded elsewhere.
        if module_name not in _loaded and not module_name.startswith("rsbench."):
            _loaded[module_name] = _source_digest(module)
    value: Any = module
    for name in attribute.split("."):
        if not hasattr(value, name):
            raise UsageError(f"{noun} {reference!r}: {module_name} has no attribute {attribute!r}: check the spelling")
        value = getattr(value, name)
    return value


def loaded_modules() -> tuple[str, ...]:
    """The names of the modules that `loaded_sources` describes."""
    with _lock:
        return tuple(_loaded)


def loaded_sources() -> dict[str, str]:
    """A digest of the source code of every plugin, and of every module that `import_object` imported, by module."""
    with _lock:
        return dict(_loaded)


def load_same_sources(digests: Mapping[str, str]) -> None:
    """Import the modules that another process uses, which `loaded_sources` returned there.

    Raises UsageError when this machine lacks one of them or has other code in it, because votes of different code must
    not be added up.
    """
    node = platform.node()
    for name, digest in digests.items():
        _load(name, f"install it on the node {node} too")
        if _loaded[name] != digest:
            raise UsageError(
                f"plugin {name!r} differs between the node {node} and the one that runs the command: install the same "
                "version on both"
            )


def _requested() -> list[str]:
    return [name.strip() for name in os.environ.get(ENVIRONMENT_VARIABLE, "").split(",") if name.strip()]


def _load(name: str, remedy: str) -> None:
    with _lock:
        if name in _failed:
            raise _failed[name]
        if name not in _loaded:
            try:
                _loaded[name] = _source_digest(_import(name, f"plugin {name!r}", remedy))
            except UsageError as error:
                _failed[name] = error
                raise


def _import(name: str, subject: str, remedy: str) -> ModuleType:
    # As `python -m` does, but last, so that a file of the user never hides an installed package.
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.append(folder)
    try:
        return importlib.import_module(name)
    except RsbenchError as error:
        raise UsageError(f"{subject}: {error}") from error
    # Code of other people may raise anything.
    except Exception as error:
        raise UsageError(
            f"{subject} cannot be imported ({type(error).__name__}: {first_line(error)}): {remedy}"
        ) from error


def _source_digest(module: ModuleType) -> str:
    """Return the SHA-256 of the source files of the module's top-level package, or of its own file."""
    digest = hashlib.sha256()
    package = sys.modules.get(module.__name__.partition(".")[0], module)
    source = getattr(package, "__file__", None) or getattr(module, "__file__", None)
    if source is not None:
        file = Path(source)
        folder = file.parent
        for path in sorted(folder.rglob("*.py")) if file.name == "__init__.py" else [file]:
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
