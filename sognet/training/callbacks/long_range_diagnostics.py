"""What a long-range layer says of itself in the course of training, such as the decay of its kernel."""

import lightning

from sognet.long_range.decay import Boxes
from sognet.model import diagnostics


class LongRangeDiagnostics(lightning.Callback):
    """Logs the diagnostics of the long-range layer, where it has any, under their names, once an epoch.

    Parameters
    ----------
    boxes : of the structures.
    """

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log."""
        pl_module.log_dict(diagnostics(pl_module.model, self.boxes))
