"""A rank of a training, without the training."""

from types import SimpleNamespace


class FakeTrainer:
    """As much of a trainer as the data module looks at."""

    accumulate_grad_batches = 1
    overfit_batches = 0
    num_devices = 1

    def __init__(self, epoch, ranks=1, rank=0):
        self.world_size, self.global_rank = ranks, rank
        self.strategy = SimpleNamespace(root_device=SimpleNamespace(type="cpu"))
        self.fit_loop = SimpleNamespace(epoch_progress=SimpleNamespace(current=SimpleNamespace(processed=epoch)))
