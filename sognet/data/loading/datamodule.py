"""DataModule: structures -> plan of an epoch -> graphs, built in worker processes -> batches, shared out over ranks."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader
from torch_geometric.data import Batch

from sognet.data.loading.batching import BatchPlan, Limit, shuffled
from sognet.data.loading.device_neighbors import add_edges
from sognet.data.loading.loader import GraphDataset, PlannedGraphs, ResumableLoader
from sognet.data.split_contents import Contents
from sognet.data.splits import Splits, epoch_indices
from sognet.data.streaming.sharded import ShardedStructures
from sognet.errors import InputError
from sognet.extras import require

ATOMS_OF_A_STEP = 64
"""Atoms of a batch up to which a step takes little longer for more of them: a step has costs of its own."""


@dataclass(frozen=True)
class Stage:
    """Part of a training with its own batch size."""

    batch_size: int  # structures per process and step
    epochs: int


class StructureDataModule(lightning.LightningDataModule):
    """Batches of graphs for training and evaluation, on one process or several.

    Parameters
    ----------
    splits : the data set.
    cutoff : Å, of the model.
    batch_size : structures per process and training step at most; "auto": as many as have ATOMS_OF_A_STEP atoms on
        average, or one where they are larger, and with `max_atoms` or `max_edges` as None; None: these alone decide.
    max_atoms, max_edges : of all structures of a batch together; None: any number.
    stages : stages (batch_size, epochs) that replace `batch_size` one after the other.
    eval_batch_size : structures per process and batch in validation, within `max_atoms` and `max_edges`.
    num_workers : worker processes that build graphs; by default none where graphs are kept in memory, else up to four,
        one per core that this process has for itself.
    neighbor_lists : "workers": each graph has its edges; "device": they are found for whole batches on the device that
        trains, for where the workers cannot keep up.
    seed : of the shuffling.

    Raises
    ------
    InputError : no limit at all, a structure that is larger than a batch may be, no such place for neighbour lists or
        no package for them.
    """

    def __init__(
        self,
        splits: Splits,
        cutoff: float,
        batch_size: int | Literal["auto"] | None = 8,
        max_atoms: int | None = None,
        max_edges: int | None = None,
        stages: Sequence[Stage] = (),
        eval_batch_size: int = 16,
        num_workers: int | None = None,
        neighbor_lists: str = "workers",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if neighbor_lists not in ("workers", "device"):
            raise InputError(f"batch.neighbor_lists must be workers or device, got {neighbor_lists!r}")
        if neighbor_lists == "device":
            require("nvalchemiops", "neighbors")
        if isinstance(batch_size, str) and batch_size != "auto":
            raise InputError(f"batch.batch_size must be a number of structures, auto or null, got {batch_size!r}")
        if batch_size is None and max_atoms is None and max_edges is None and not stages:
            raise InputError("set batch.batch_size, batch.max_atoms or batch.max_edges")
        self.splits = splits
        self.cutoff = cutoff
        self.batch_size = batch_size
        self.max_atoms = max_atoms
        self.max_edges = max_edges
        self.stages = list(stages)
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.neighbor_lists = neighbor_lists
        self.seed = seed
        self.datasets: dict[str, GraphDataset] = {}
        self.loaders: dict[str, DataLoader] = {}

    @property
    def reload_every_n_epochs(self) -> int:
        """Epochs after which Lightning asks for the training loader, whose batches may change in number; 0 for never.

        Every epoch with stages: Lightning counts from where a run is resumed, not from the first epoch.
        """
        limited = self.max_atoms is not None or self.max_edges is not None
        return int(limited or len(self.stages) > 1)

    def stage_batch_size(self, epoch: int) -> int | None:
        """Batch size of an epoch."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage.batch_size
            epoch -= stage.epochs
        if self.stages:
            return self.stages[-1].batch_size
        if self.batch_size != "auto":
            return self.batch_size
        limited = self.max_atoms is not None or self.max_edges is not None
        return None if limited else automatic_batch_size(self._dataset("train").contents)

    def setup(self, stage: str) -> None:
        """Forget loaders that were made for another trainer."""
        self.loaders.clear()

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches of the current epoch; every rank gets the same number of them.

        It is the same loader every time, so that its worker processes go on.
        """
        epoch = self.trainer.fit_loop.epoch_progress.current.processed if self.trainer else 0  # right on resuming too
        dataset = self._dataset("train")
        limits = self._limits("train", self.stage_batch_size(epoch))
        if "train" not in self.loaders:
            accumulate = self.trainer.accumulate_grad_batches if self.trainer else 1
            order = self._order(dataset)
            if self.trainer and self.trainer.overfit_batches:
                order = partial(_of_first_epoch, order)
            plan = BatchPlan(order, self._work("train"), limits, *self._ranks(), accumulate)
            self.loaders["train"] = self._loader(ResumableLoader, dataset, plan)
        loader = self.loaders["train"]
        loader.sampler.lay_out(epoch, limits)
        return loader

    def val_dataloader(self) -> DataLoader | list:
        """Validation batches in the order of the structures; empty list where there is no validation split."""
        if not self.splits.val:
            return []
        if "val" not in self.loaders:
            dataset = self._dataset("val")
            limits = self._limits("val", self.eval_batch_size)
            plan = BatchPlan(lambda epoch: np.arange(len(dataset)), self._work("val"), limits, *self._ranks())
            self.loaders["val"] = self._loader(DataLoader, dataset, plan)
        return self.loaders["val"]

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Find the edges where the workers did not."""
        return add_edges(batch, self.cutoff) if self.neighbor_lists == "device" else batch

    def _dataset(self, split: str) -> GraphDataset:
        if split not in self.datasets:
            edges = self.neighbor_lists == "workers"
            self.datasets[split] = GraphDataset(getattr(self.splits, split), self.cutoff, edges)
        return self.datasets[split]

    def _limits(self, split: str, batch_size: int | None) -> list[Limit]:
        dataset = self._dataset(split)
        limits = []
        if batch_size is not None:
            limits.append(Limit("batch.batch_size", np.ones(len(dataset), dtype=np.int64), batch_size))
        if self.max_atoms is not None:
            limits.append(Limit("batch.max_atoms", dataset.contents.n_atoms, self.max_atoms))
        if self.max_edges is not None:
            limits.append(Limit("batch.max_edges", dataset.n_edges, self.max_edges))
        for limit in limits:
            largest = int(limit.counts.argmax())
            if limit.counts[largest] > limit.most:
                raise InputError(
                    f"{dataset.structures[largest].source}: alone has {limit.counts[largest]} of what "
                    f"{limit.name}={limit.most} allows in a batch; raise it or remove the structure"
                )
        return limits

    def _work(self, split: str) -> np.ndarray:
        dataset = self._dataset(split)
        n_atoms = dataset.contents.n_atoms
        return n_atoms if self.max_edges is None else n_atoms + dataset.n_edges

    def _order(self, dataset: GraphDataset) -> partial:
        if self.splits.weights is not None:
            return partial(epoch_indices, self.splits.weights, seed=self.seed)
        structures, n_atoms = dataset.structures, dataset.contents.n_atoms
        if isinstance(structures, ShardedStructures):
            blocks, window = structures.blocks, structures.shuffle_atoms
            return partial(shuffled, self.seed, n_atoms=n_atoms, blocks=blocks, window=window)
        return partial(shuffled, self.seed, n_atoms=n_atoms, blocks=np.array([0, len(dataset)]))

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _loader(self, kind: type[DataLoader], dataset: GraphDataset, plan: BatchPlan) -> DataLoader:
        workers = self.num_workers
        if workers is None:
            processes = self.trainer.num_devices if self.trainer else 1
            workers = 0 if dataset.keep else max(1, min(4, (os.cpu_count() or 1) // processes))
        device = self.trainer.strategy.root_device.type if self.trainer else "cpu"
        return kind(
            PlannedGraphs(dataset),
            batch_size=None,
            sampler=plan,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_interrupts,
            collate_fn=_as_it_is,
            pin_memory=device == "cuda" and torch.cuda.is_available(),
        )


def automatic_batch_size(contents: Contents) -> int:
    """Structures that have ATOMS_OF_A_STEP atoms on average, at least one."""
    return max(1, round(ATOMS_OF_A_STEP / max(1.0, float(np.mean(contents.n_atoms)))))


def _ignore_interrupts(_: int) -> None:
    """Leave Ctrl-C to the training, which may still need a batch to save between two steps."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _as_it_is(batch: object) -> object:
    return batch


def _of_first_epoch(order: Callable[[int], np.ndarray], epoch: int) -> np.ndarray:
    """Order of the first epoch, in every epoch."""
    return order(0)
