"""Data sets that are sampled on the user's machine."""
