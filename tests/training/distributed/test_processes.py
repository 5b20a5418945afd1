"""Distributed runs whose other ranks fail."""

import subprocess
import sys

SCRIPT = """
import sys, time
from pathlib import Path
from omegaconf import OmegaConf
from sognet.training.distributed.processes import distributed

if __name__ == "__main__":
    trainer = OmegaConf.create({"devices": 2, "num_nodes": 1, "accelerator": "cpu"})
    with distributed(trainer, Path(sys.argv[1])):
        time.sleep(100)
"""


def test_a_rank_that_dies_ends_the_run(tmp_path):
    """Rank 0 would wait half an hour for it."""
    (tmp_path / "start.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "start.py"), str(tmp_path / "absent.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 1
    assert "rank 1 ended with code 1" in done.stdout
    assert "absent.yaml" in done.stdout
