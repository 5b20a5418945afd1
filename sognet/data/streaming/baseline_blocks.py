"""What a baseline gives for the structures of prepared data sets, kept on disk in a file for each block of a shard."""

from pathlib import Path

import numpy as np

from sognet.data.baseline_cache import UNREADABLE, as_arrays, as_labels, write_whole
from sognet.data.baseline_labels import BaselineLabels
from sognet.data.streaming.shards import digest_of
from sognet.errors import InputError


class BaselineBlocks:
    """Files of a baseline, named after the content of a shard, so that every copy of a data set finds them.

    Parameters
    ----------
    folder : of the baseline's values (BaselineCache.folder).
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: dict[Path, str] = {}

    def file(self, shard: Path, block: int) -> Path:
        """File of a block of a shard."""
        if shard not in self.digests:
            self.digests[shard] = digest_of(shard) or shard.stem  # reading a broken shard is refused elsewhere
        return self.folder / "blocks" / f"{self.digests[shard][:32]}-{block}.npz"

    def read(self, shard: Path, block: int) -> list[BaselineLabels]:
        """Labels of the structures of a block.

        Raises
        ------
        InputError : the file is missing or broken.
        """
        file = self.file(shard, block)
        try:
            with np.load(file, allow_pickle=False) as kept:
                return as_labels(kept)
        except UNREADABLE as error:
            raise InputError(
                f"{file}: what the baseline gives cannot be read ({error}); delete the file and go on with "
                "sognet train resume=..., which computes it again"
            ) from error

    def write(self, shard: Path, block: int, labels: list[BaselineLabels]) -> None:
        """Keep the labels of a block.

        Raises
        ------
        InputError : they cannot be written.
        """
        file = self.file(shard, block)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, as_arrays(labels))
        except OSError as error:
            raise InputError(
                f"{file}: what the baseline gives cannot be kept ({error}); choose a folder with room, paths.data=..."
            ) from error
