"""Datasets: images with labels and a fingerprint, and the choice of some of the images."""
