"""Base classifiers: architectures by name, and checkpoints with everything that is needed to use them."""
