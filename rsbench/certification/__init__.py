"""Certification of a run: images are divided into chunks, chunks become votes, and votes become results."""
