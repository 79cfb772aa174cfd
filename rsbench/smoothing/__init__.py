"""Smoothing measures, keyed randomness and voting. Shapes: B batch, C channels, H height, W width, K classes."""
