"""Double precision where training stalls in single."""

import logging

import lightning
import torch

from sognet.training.optimizers import LBFGS

logger = logging.getLogger(__name__)


class SwitchToFloat64(lightning.Callback):
    """Goes on in double precision where L-BFGS, started downhill again, still cannot lower the loss in single.

    Rounding of forces of a few eV/Å hides what a step gains once their errors are below about 1 meV/Å. For one process.
    """

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Convert the model after two stalled steps."""
        optimizer = pl_module.optimizers(use_pl_optimizer=False)
        single = next(pl_module.model.parameters()).dtype == torch.float32
        if single and isinstance(optimizer, LBFGS) and optimizer.stalled_steps > 1:
            logger.info("epoch %d: the loss stalls in single precision; going on in double", trainer.current_epoch)
            pl_module.model.double()
            optimizer.state.clear()
