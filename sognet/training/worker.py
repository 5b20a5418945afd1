"""A rank above 0 of a distributed run: `python -m sognet.training.worker <run folder>/config.yaml`."""

import sys

from omegaconf import OmegaConf

from sognet.allocator import keep_freed_memory
from sognet.cli import quieten
from sognet.training.run import train

if __name__ == "__main__":
    quieten()
    keep_freed_memory()
    train(OmegaConf.load(sys.argv[1]))
