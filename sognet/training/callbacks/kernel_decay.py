"""The decay of the long-range kernel in the course of training."""

import lightning

from sognet.analysis.kernel_decay import fitted_decay


class KernelDecayMonitor(lightning.Callback):
    """Logs the fitted exponent and strength of the long-range kernel of every channel, once an epoch.

    Parameters
    ----------
    box_length : typical length of the boxes in Å, see sognet.analysis.kernel_decay.
    """

    def __init__(self, box_length: float) -> None:
        self.box_length = box_length

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Fit and log."""
        kernel = pl_module.model.long_range.kernel
        for channel in range(kernel.n_channels):
            decay = fitted_decay(kernel, pl_module.model.cutoff, self.box_length, channel)
            if decay is not None:
                name = f"kernel/{channel}" if kernel.n_channels > 1 else "kernel"
                pl_module.log_dict({f"{name}/exponent": decay.exponent, f"{name}/coulomb_ratio": decay.coulomb_ratio})
