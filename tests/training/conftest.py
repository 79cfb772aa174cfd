"""Training data shared by the tests of this folder."""

import pytest

from rsbench.data.in_memory import load_digits
from rsbench.training.batch import TrainingData


@pytest.fixture(scope="session")
def quarter_digits() -> TrainingData:
    """A quarter of the digits' training images."""
    digits = load_digits()
    training_set = digits.training_set()
    assert training_set is not None
    pixels_NCHW, labels_N = training_set
    return TrainingData(digits.info, pixels_NCHW[::4], labels_N[::4], *digits.normalisation)
