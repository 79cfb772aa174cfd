"""rsbench: train, certify and compare randomized smoothing classifiers."""

from importlib.metadata import version

__version__ = version("rsbench")
