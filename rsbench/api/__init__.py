"""The Python API: certification and stored results as pandas frames, on the same path as the commands."""
