"""What libraries print in a process that trains."""

import logging
import os
import warnings


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
