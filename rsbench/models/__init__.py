"""Base classifiers: architectures, checkpoints, and the devices and arithmetic that they run in."""
