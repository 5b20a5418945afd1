"""A rank of a training, without the training."""


class FakeTrainer:
    """As much of a trainer as the data module looks at."""

    accumulate_grad_batches = 1
    num_devices = 1

    def __init__(self, epoch, ranks=1, rank=0):
        self.current_epoch, self.world_size, self.global_rank = epoch, ranks, rank
        self.strategy = type("Strategy", (), {"root_device": type("Device", (), {"type": "cpu"})})
