"""Runs that were computed elsewhere: read their files, check them, and return records that the store can import."""
