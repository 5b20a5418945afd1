"""The process that trains: how the C library hands out memory, and what libraries print."""

import ctypes
import logging
import os
import sys
import warnings

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # <malloc.h>


def keep_freed_memory() -> None:
    """Let glibc keep what tensors free instead of giving it back to the system and taking it again page by page at
    every step, which costs small models a third of a training step on a CPU. Does nothing elsewhere.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_MMAP_THRESHOLD, 32 << 20)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 64 << 20)


def quieten() -> None:
    """Leave out what libraries say of themselves on every run."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*You passed `inference_mode=.*",
        ".*LeafSpec.*is deprecated.*",
        ".*Total length of `list` across ranks is zero.*",
        ".*It is recommended to use `self.log.*sync_dist=True.*",  # of what is the same on all ranks
        ".*module\\(s\\) in eval mode at the start of training.*",  # those of a baseline
        ".*Grad strides do not match bucket view strides.*",
        ".*``declarative_base.*is now available as.*",
    ):
        warnings.filterwarnings("ignore", message=message)
