"""Which structures go into which batch: the plan of an epoch, worked out by every rank alike without communication."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import SequentialSampler


class PlannedBatch(NamedTuple):
    """Structures of a batch by number, and the weight of its mean loss.

    With these weights, gradients averaged over ranks and accumulated batches are those of the mean over all structures
    of the optimizer step, however many of them each batch holds. Weight 0 marks padding, so that all ranks take the
    same number of steps.
    """

    structures: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True)
class Limit:
    """What the structures of a batch may add up to."""

    name: str  # as the user sets it
    counts: np.ndarray  # (n_structures,), of each structure
    most: int  # of a batch


def shuffled(seed: int, epoch: int, n_atoms: np.ndarray, blocks: np.ndarray, window: float = np.inf) -> np.ndarray:
    """Order of structures in an epoch, (n_structures,).

    Blocks are drawn at random, and the structures of consecutive blocks with together `window` atoms are shuffled among
    each other, so that whoever follows the order has to hold no more than that. A set within the window is permuted
    as a whole.

    Parameters
    ----------
    seed, epoch : together determine the order.
    n_atoms : (n_structures,).
    blocks : (n_blocks + 1,), the first structure of each block, and their number.
    window : atoms.
    """
    generator = torch.Generator().manual_seed(seed + epoch)

    def permutation(n: int) -> np.ndarray:
        return torch.randperm(n, generator=generator).numpy()

    if n_atoms.sum() <= window:
        return permutation(len(n_atoms))
    drawn = permutation(len(blocks) - 1)
    atoms = np.add.reduceat(n_atoms, blocks[:-1])[drawn].cumsum()
    first_of_window = np.searchsorted(atoms, np.arange(window, atoms[-1], window), side="right")
    parts = []
    for members in np.split(drawn, np.unique(first_of_window)):
        if len(members):
            structures = np.concatenate([np.arange(blocks[b], blocks[b + 1]) for b in np.sort(members)])
            parts.append(structures[permutation(len(structures))])
    return np.concatenate(parts)


def consecutive(order: np.ndarray, limits: Sequence[Limit]) -> np.ndarray:
    """Cut an order into batches as large as the limits allow: (n_batches + 1,), where each begins, and the end.

    Every structure must be within the limits by itself.
    """
    sums = [np.concatenate([[0], np.cumsum(limit.counts[order], dtype=np.int64)]) for limit in limits]
    bounds = [0]
    while bounds[-1] < len(order):
        start = bounds[-1]
        ends = (np.searchsorted(s, s[start] + limit.most, "right") - 1 for s, limit in zip(sums, limits, strict=True))
        bounds.append(int(min(ends)))
    return np.array(bounds)


def share_out(members: np.ndarray, work: np.ndarray, limits: Sequence[Limit], ranks: int) -> list[np.ndarray] | None:
    """Structures of a step for each rank: the largest first, each to the rank with the least work that has room.

    None where the limits do not allow it.
    """
    counts = np.array([limit.counts[members] for limit in limits])  # (n_limits, n_members)
    most = np.array([[limit.most] for limit in limits])
    used = np.zeros((len(limits), ranks), dtype=np.int64)
    load = np.zeros(ranks)
    rank_of = np.empty(len(members), dtype=np.int64)
    for i in np.argsort(-work[members], kind="stable"):
        has_room = (used + counts[:, i, None] <= most).all(0)
        if not has_room.any():
            return None
        rank = int(np.where(has_room, load, np.inf).argmin())
        used[:, rank] += counts[:, i]
        load[rank] += work[members[i]]
        rank_of[i] = rank
    return [members[rank_of == rank] for rank in range(ranks)]


class BatchPlan(SequentialSampler):
    """Batches of one rank, epoch by epoch; every structure is in one batch of one rank.

    It counts as sequential, so that Lightning does not replace it for `overfit_batches`.

    All ranks have the same number of batches. Consecutive structures of the epoch's order make up the batches of one
    step, which are shared out over the ranks by work.

    Parameters
    ----------
    order : structures in the order of an epoch, by the epoch's number.
    work : (n_structures,), what the time of a training step grows with.
    limits : of a batch; at least one.
    ranks, rank : number of processes, and which one this is.
    accumulate : batches of a rank whose gradients the optimizer averages.
    """

    def __init__(
        self,
        order: Callable[[int], np.ndarray],
        work: np.ndarray,
        limits: Sequence[Limit],
        ranks: int = 1,
        rank: int = 0,
        accumulate: int = 1,
    ) -> None:
        self.make_order = order
        self.work = work
        self.ranks = ranks
        self.rank = rank
        self.accumulate = accumulate
        self.lay_out(0, limits)

    def set_epoch(self, epoch: int) -> None:
        """Plan an epoch with the same limits, from its first batch."""
        if epoch != self.epoch:
            self.lay_out(epoch, self.limits)

    def lay_out(self, epoch: int, limits: Sequence[Limit]) -> None:
        """Plan an epoch, from its first batch."""
        self.epoch = epoch
        self.limits = list(limits)
        self.start = 0  # where an interrupted epoch goes on
        self.order = self.make_order(epoch)
        self.bounds = consecutive(self.order, self.limits)

    def __len__(self) -> int:
        """Batches of the whole epoch."""
        return -(-(len(self.bounds) - 1) // self.ranks)

    def __iter__(self) -> Iterator[PlannedBatch]:
        for step in range(self.start, len(self)):
            mine = self._step(step)[self.rank]
            first = step - step % self.accumulate
            together = self._bound(first + self.accumulate) - self._bound(first)
            if len(mine):
                yield PlannedBatch(tuple(mine.tolist()), len(mine) * self.ranks * self.accumulate / together)
            else:
                members = self._members(step)
                yield PlannedBatch((int(members[self.work[members].argmin()]),), 0.0)

    def _bound(self, step: int) -> int:
        return int(self.bounds[min(step * self.ranks, len(self.bounds) - 1)])

    def _members(self, step: int) -> np.ndarray:
        return self.order[self._bound(step) : self._bound(step + 1)]

    def _step(self, step: int) -> list[np.ndarray]:
        members = self._members(step)
        if self.ranks == 1:
            return [members]
        parts = share_out(members, self.work, self.limits, self.ranks)
        if parts is None:
            cuts = self.bounds[step * self.ranks : (step + 1) * self.ranks + 1] - self._bound(step)
            parts = [members[a:b] for a, b in pairwise(cuts)]
            parts += [members[:0]] * (self.ranks - len(parts))
        return parts
