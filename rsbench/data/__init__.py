"""Data sets: images on their own grid, labels, a fingerprint over both, and the choice of a subset."""
