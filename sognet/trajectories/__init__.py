"""Analysis of trajectories: structure, transport and spectra, in one pass, with errors by blocks."""
