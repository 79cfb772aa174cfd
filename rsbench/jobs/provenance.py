"""Where a result comes from: code, versions, device."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rsbench.plugins import loaded_modules, loaded_sources
from rsbench.records import Provenance
from rsbench.version import installed_version

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "ray", "pillow", "scikit-learn")


def provenance(device: str) -> Provenance:
    """Provenance of what this version of rsbench, with the plugins that are loaded, computes on a device.

    device: its model, as the worker reports it.
    The git fields are None when rsbench does not run from a checkout of itself.
    """
    return _provenance(device, loaded_modules())


@cache
def _provenance(device: str, _plugins: tuple[str, ...]) -> Provenance:
    revision, dirty = _git_state()
    plugins = {f"plugin {name}": digest[:12] for name, digest in loaded_sources().items()}
    return Provenance(
        rsbench_version=installed_version(),
        git_revision=revision,
        git_dirty=dirty,
        versions={"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}, **plugins},
        device=device,
        platform=platform.platform(),
    )


def _git_state() -> tuple[str | None, bool | None]:
    package = Path(__file__).parents[1]
    # A package installed into an environment inside somebody's checkout must not report that checkout.
    tracked = _git(package, "ls-files", "--error-unmatch", "__init__.py")
    if tracked is None:
        return None, None
    revision = _git(package, "rev-parse", "HEAD")
    status = _git(package, "status", "--porcelain", "--untracked-files=no")
    return revision, None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
