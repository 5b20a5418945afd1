"""Histograms, images and the configuration of a run, for the loggers that can take them."""

from collections.abc import Mapping
from functools import singledispatch
from pathlib import Path

import numpy as np
import wandb
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from sognet.analysis.distributions import binned


@singledispatch
def log_media(
    run_logger: Logger, histograms: Mapping[str, np.ndarray], images: Mapping[str, np.ndarray], step: int
) -> None:
    """Log the distributions of values and images (height, width, 3) by name; a logger of numbers takes none."""


@log_media.register
def _(run_logger: WandbLogger, histograms, images, step: int) -> None:
    media = {name: wandb.Histogram(np_histogram=binned(values)) for name, values in histograms.items()}
    run_logger.log_metrics(media | {name: wandb.Image(Image.fromarray(i)) for name, i in images.items()}, step)


@log_media.register
def _(run_logger: TensorBoardLogger, histograms, images, step: int) -> None:
    for name, values in histograms.items():
        run_logger.experiment.add_histogram(name, values, step)
    for name, image in images.items():
        run_logger.experiment.add_image(name, image, step, dataformats="HWC")


@singledispatch
def log_configuration(run_logger: Logger, config: DictConfig) -> None:
    """Log the configuration of a run, which `config.yaml` has in any case."""


@log_configuration.register
def _(run_logger: WandbLogger, config: DictConfig) -> None:
    run_logger.log_hyperparams(OmegaConf.to_container(config))


@log_configuration.register
def _(run_logger: TensorBoardLogger, config: DictConfig) -> None:
    run_logger.experiment.add_text("config", f"```yaml\n{OmegaConf.to_yaml(config)}```")


def takes_media(run_logger: Logger) -> bool:
    """Whether a logger takes histograms and images."""
    return log_media.dispatch(type(run_logger)) is not log_media.dispatch(Logger)


def rendered(figure: Figure, dpi: int = 100) -> np.ndarray:
    """Pixels of a figure, (height, width, 3)."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def pixels(path: str | Path) -> np.ndarray:
    """Pixels of an image file, (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
