"""Training: losses, metrics, the LightningModule and the run that puts them together."""
