"""Building blocks of networks: perceptrons, cutoff and radial functions, precision."""
