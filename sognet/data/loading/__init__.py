"""Batches of graphs: planning, worker processes, the data module."""
