"""Training of base classifiers: one loop (`trainer`) for every training objective (`objectives`)."""
