"""Averages over a trajectory of unknown length, with errors from blocks of consecutive frames.

Flyvbjerg and Petersen, J. Chem. Phys. 91, 461 (1989): means of blocks that are longer than the correlation time are
independent, so that their spread gives the error of the whole mean.
"""

from collections.abc import Sequence

import numpy as np


class Blocks:
    """Sums of an array over blocks of frames of equal length.

    Blocks start with one frame each and are joined in pairs when there are too many, so memory does not grow with the
    trajectory. In the end there are from `n_blocks` to 2 `n_blocks` of them.

    Parameters
    ----------
    shape : of the averaged array.
    n_blocks : at least 2.
    """

    def __init__(self, shape: Sequence[int], n_blocks: int) -> None:
        self.size = 1
        self._n_blocks = n_blocks
        self._sums = np.zeros((2 * n_blocks, *shape))
        self._counts = np.zeros((2 * n_blocks, *shape))

    def add(self, frame: int, values: np.ndarray) -> None:
        """Add values of a frame.

        Parameters
        ----------
        frame : counted from 0.
        values : with the shape of the array.
        """
        while (block := frame // self.size) >= len(self._sums):
            self._join()
        self._sums[block] += values
        self._counts[block] += 1

    def _join(self) -> None:
        for array in (self._sums, self._counts):
            array[: self._n_blocks] = array[::2] + array[1::2]
            array[self._n_blocks :] = 0
        self.size *= 2

    @property
    def mean(self) -> np.ndarray:
        """Mean over all frames, NaN where there is none."""
        return _ratio(self._sums.sum(0), self._counts.sum(0))

    @property
    def block_means(self) -> np.ndarray:
        """Means of the blocks (n, *shape) that are at least half full; NaN where a block has less."""
        used = self._counts.reshape(len(self._counts), -1).any(1)
        sums, counts = self._sums[used], self._counts[used]
        full = counts.max(0, initial=0)
        return np.where(counts >= np.maximum(0.5 * full, 1), _ratio(sums, counts), np.nan)

    @property
    def error(self) -> np.ndarray:
        """Standard error of the mean, NaN where fewer than two blocks have values."""
        return standard_error(self.block_means)


def standard_error(samples: np.ndarray) -> np.ndarray:
    """Standard error of the mean of independent samples (n, *shape), without those that are NaN."""
    valid = np.isfinite(samples)
    n = valid.sum(0)
    mean = _ratio(np.where(valid, samples, 0.0).sum(0), n)
    squares = np.where(valid, (samples - mean) ** 2, 0.0).sum(0)
    return np.sqrt(_ratio(squares, np.where(n > 1, n * (n - 1.0), 0.0)))


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(np.shape(sums), np.nan), where=np.asarray(counts) > 0)
