"""Training base classifiers on noisy copies."""
