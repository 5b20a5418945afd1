"""Loggers: metrics.csv, wandb, and what figures they take."""
