"""Runs in processes that end at a chosen point of the training."""

import multiprocessing
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from sognet.cli.configuration import CONFIGURATION
from sognet.training.budget import set_limits

HOOKS = (
    "on_train_epoch_start",
    "on_train_batch_start",
    "on_after_backward",
    "on_before_optimizer_step",
    "on_train_batch_end",
    "on_validation_batch_end",
    "on_save_checkpoint",
    "on_train_epoch_end",
)

TINY = [
    "dataset=files",
    "model=published",
    "optimizer=adam",
    "batch.batch_size=8",
    "module.warmup_steps=0",
    "model.short_range.cutoff=4",
    "model.short_range.core_embedding=[4]",
    "model.short_range.shell_embedding=[4]",
    "model.short_range.n_axis=2",
    "model.long_range.n_gaussians=3",
    "trainer=cpu",
    "logger=csv",
    "~callbacks.progress",
]


class At(lightning.Callback):
    """Sends a signal to the process, rank 0 where there are several, at the given call of any of the hooks."""

    def __init__(self, call: int, send: int = signal.SIGKILL) -> None:
        self.left = call
        self.send = send

    def count(self, trainer: lightning.Trainer) -> None:
        self.left -= trainer.is_global_zero
        if self.left == 0:
            os.kill(os.getpid(), self.send)


def _counted(self: At, trainer: lightning.Trainer, *_: Any) -> None:
    self.count(trainer)


for _hook in HOOKS:
    setattr(At, _hook, _counted)


def tiny_run(folder: Path, *overrides: str) -> DictConfig:
    """Configuration of a run in a folder, saved there as the command does."""
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        composed = compose("train", [*TINY, *overrides, f"folder={folder}", "dataset.val_fraction=0.2",
                                     "dataset.test_fraction=0.1", "paths.outputs=unused"])  # fmt: skip
    config = OmegaConf.create(OmegaConf.to_container(composed, resolve=True))
    config.trainer.max_epochs = sum(s.epochs for s in config.batch.stages) or config.trainer.max_epochs
    set_limits(config)
    (folder / "checkpoints").mkdir(parents=True)
    OmegaConf.save(config, folder / "config.yaml")
    return config


def train_in_process(
    config: DictConfig, task: str = "train", environment: Mapping[str, str] | None = None, **at: int
) -> int:
    """Train in a process of its own, from the last checkpoint if there is one; its exit code.

    Parameters
    ----------
    config : of the run.
    task : function of sognet.training.run.
    environment : variables.
    at : arguments of `At`, none for a run that nothing interrupts.
    """
    if at:
        config = OmegaConf.merge(config, {"callbacks": {"at": {"_target_": "interruptions.At", **at}}})
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sognet.training.run"])
    process = context.Process(target=_train, args=(config, task, environment or {}))
    process.start()
    process.join()
    return process.exitcode


def _train(config: DictConfig, task: str, environment: Mapping[str, str]) -> None:
    from sognet.training import run

    torch.set_num_threads(1)
    run.report = lambda *_, **__: {"figures": {}, "train": {}, "val": {}}  # errors and figures are not of interest
    os.environ.update(environment)
    getattr(run, task)(config)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Tensors of the last checkpoint that training has made, by name: weights, their average, the optimizer's state."""
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    found = dict(checkpoint["state_dict"])
    found |= {f"current.{k}": v for k, v in checkpoint.get("current_model_state", {}).items()}
    for number, state in checkpoint["optimizer_states"][0]["state"].items():
        found |= {f"optimizer.{number}.{k}": v for k, v in state.items()}
    return found


def assert_same(first: Path, second: Path, **tolerance: float) -> None:
    """Check that two runs ended in the same state."""
    tolerance = tolerance or {"rtol": 0.0, "atol": 0.0}
    expected, found = weights(first), weights(second)
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, **tolerance, msg=name)
