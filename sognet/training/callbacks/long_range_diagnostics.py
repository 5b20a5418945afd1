"""What a long-range layer says of itself in the course of training, such as the decay of its kernel."""

import lightning

from sognet.model import diagnostics


class LongRangeDiagnostics(lightning.Callback):
    """Logs the diagnostics of the long-range layer, where it has any, under their names, once an epoch.

    Parameters
    ----------
    box_length : typical length of the boxes in Å.
    """

    def __init__(self, box_length: float) -> None:
        self.box_length = box_length

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log."""
        pl_module.log_dict(diagnostics(pl_module.model, self.box_length))
