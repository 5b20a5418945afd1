"""The progress bar of a training."""

from typing import Any

import lightning
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import BatchesProcessedColumn, RichProgressBarTheme
from rich.progress import BarColumn, TextColumn


class PotentialProgressBar(RichProgressBar):
    """Rich progress bar that leaves room for the errors on a line of 80 characters."""

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_format=".3g"))

    def configure_columns(self, trainer: lightning.Trainer) -> list:
        """Epoch, bar and number of batches."""
        return [
            TextColumn("[progress.description]{task.description}"),
            BarColumn(bar_width=8),
            BatchesProcessedColumn(self.theme.batch_progress),
        ]

    def get_metrics(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> dict[str, Any]:
        """Metrics without the logger's version number."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics
