"""A rank above 0 of a distributed run: `python -m sognet.training.worker <run folder>/config.yaml`."""

import sys

from omegaconf import OmegaConf

from sognet.allocator import keep_freed_memory
from sognet.cli import quieten
from sognet.training.processes import end_with_parent
from sognet.training.run import train

if __name__ == "__main__":
    end_with_parent()
    quieten()
    keep_freed_memory()
    train(OmegaConf.load(sys.argv[1]))
