"""scikit-learn's bundled handwritten digits: 1,797 real 8×8 images with pixels k/16, so no download is needed."""

import numpy as np

from rsbench.data.dataset import ArrayDataset


def load_digits() -> ArrayDataset:
    """The digits, split once and for all: in every class each fourth image (in the bundle's order) is a test image."""
    # Imported here because scikit-learn takes a second to import and only this data set needs it.
    from sklearn.datasets import load_digits as bundled

    bundle = bundled()
    pixels_NCHW = bundle.images.astype(np.uint8)[:, None, :, :]
    labels_N = bundle.target.astype(np.int64)
    rank_N = np.zeros(len(labels_N), dtype=np.int64)
    for label in range(10):
        members = np.flatnonzero(labels_N == label)
        rank_N[members] = np.arange(len(members))
    test_N = rank_N % 4 == 3
    return ArrayDataset(
        "digits",
        test=(pixels_NCHW[test_N], labels_N[test_N]),
        train=(pixels_NCHW[~test_N], labels_N[~test_N]),
        classes=10,
        q=16,
        architecture="mlp",
    )
