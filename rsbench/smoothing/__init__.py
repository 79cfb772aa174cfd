"""Smoothing measures and the random numbers that they draw."""
