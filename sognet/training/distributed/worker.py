"""A rank above 0 of a distributed run: `python -m sognet.training.distributed.worker <run folder>/config.yaml {}`, with
the settings of the command as JSON.
"""

import json
import signal
import sys

from omegaconf import OmegaConf

from sognet.freed_memory import keep_freed_memory
from sognet.training.callbacks.preemption import STOPPED
from sognet.training.distributed.processes import end_with_parent
from sognet.training.environment import quieten
from sognet.training.run import train

if __name__ == "__main__":
    end_with_parent()
    quieten()
    keep_freed_memory()
    try:
        config = OmegaConf.load(sys.argv[1])
        config.update(json.loads(sys.argv[2]))
        train(config)
    except KeyboardInterrupt:
        sys.exit(STOPPED[signal.SIGINT])
