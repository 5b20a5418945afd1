"""DataModule: structures -> graphs, built in worker processes -> batches, shared out over the ranks."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import lightning
import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler
from torch_geometric.data import Batch, Data

from sognet.data.graph import build_graph
from sognet.data.splits import Splits
from sognet.data.structure import Structure

TARGETS = ("energy", "forces", "stress")

KEPT_ATOMS = 200_000
"""Graphs of splits with at most this many atoms are kept in memory once built."""


class GraphDataset(Dataset):
    """Graphs of structures; each carries its number as `id` and `counted`, false for a repeat.

    A reference value that only some of the structures have is left out, since one batch holds the same for all.

    Parameters
    ----------
    structures : what to make graphs of.
    cutoff : Å.
    multiple_of : repeats of the first structures fill the length up to a multiple of this, the number of ranks;
        they are marked as not counted.
    """

    def __init__(self, structures: Sequence[Structure], cutoff: float, multiple_of: int = 1) -> None:
        self.structures = structures
        self.cutoff = cutoff
        self.length = math.ceil(len(structures) / multiple_of) * multiple_of
        self.partial = [t for t in TARGETS if len({getattr(s, t) is None for s in structures}) == 2]
        self.keep = sum(len(s) for s in structures) <= KEPT_ATOMS
        self.kept: dict[int, Data] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Data:
        graph = self.kept.get(number)
        if graph is None:
            structure = number % len(self.structures)
            graph = build_graph(self.structures[structure], self.cutoff)
            for target in self.partial:
                if target in graph:
                    del graph[target]
            graph.id = torch.tensor([structure])
            graph.counted = torch.tensor([number < len(self.structures)])
            if self.keep:
                self.kept[number] = graph
        return graph


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
    batch_size : structures per process and training step.
    stages : stages (batch_size, epochs) that replace `batch_size` one after the other.
    eval_batch_size : structures per process and batch in validation.
    num_workers : worker processes that build graphs; by default none where graphs are kept in memory, else one per
        core up to four.
    seed : of the shuffling.
    """

    def __init__(
        self,
        splits: Splits,
        cutoff: float,
        batch_size: int = 8,
        stages: Sequence[Stage] = (),
        eval_batch_size: int = 16,
        num_workers: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.splits = splits
        self.cutoff = cutoff
        self.batch_size = batch_size
        self.stages = list(stages)
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.datasets: dict[str, GraphDataset] = {}

    @property
    def reload_every_n_epochs(self) -> int:
        """Epochs after which the training loader may have to change its batch size; 0 for never."""
        return math.gcd(*(s.epochs for s in self.stages)) if len(self.stages) > 1 else 0

    def stage_batch_size(self, epoch: int) -> int:
        """Batch size of an epoch."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage.batch_size
            epoch -= stage.epochs
        return self.stages[-1].batch_size if self.stages else self.batch_size

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches; every rank gets the same number of structures."""
        dataset = self._dataset("train", 1)
        epoch = self.trainer.current_epoch if self.trainer else 0
        ranks, rank = self._ranks()
        sampler = DistributedSampler(dataset, ranks, rank, shuffle=True, seed=self.seed)
        batch_size = min(self.stage_batch_size(epoch), math.ceil(len(dataset) / ranks))
        return self._loader(dataset, batch_size, sampler=sampler)

    def val_dataloader(self) -> DataLoader | list:
        """Validation batches; empty list where there is no validation split."""
        if not self.splits.val:
            return []
        ranks, rank = self._ranks()
        dataset = self._dataset("val", ranks)
        sampler = DistributedSampler(dataset, ranks, rank, shuffle=False)
        return self._loader(dataset, self.eval_batch_size, sampler=sampler)

    def _dataset(self, split: str, multiple_of: int) -> GraphDataset:
        if split not in self.datasets:
            self.datasets[split] = GraphDataset(getattr(self.splits, split), self.cutoff, multiple_of)
        return self.datasets[split]

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)

    def _loader(self, dataset: GraphDataset, batch_size: int, sampler: DistributedSampler) -> DataLoader:
        workers = self.num_workers
        if workers is None:
            workers = 0 if dataset.keep else min(4, os.cpu_count() or 1)
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=Batch.from_data_list,
            pin_memory=torch.cuda.is_available(),
        )
