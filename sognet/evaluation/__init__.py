"""Commands on trained models: evaluate, predict, and the table of runs."""
