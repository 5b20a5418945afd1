"""Readers of structure files, and the units they are in."""
