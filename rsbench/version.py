"""The version of the installed package."""

from importlib.metadata import version


def installed_version() -> str:
    """Return it as `pip` shows it. The look-up takes some milliseconds."""
    return version("rsbench")
