"""The best checkpoint of a run is the one that its callback says."""

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sognet.training.best_checkpoint import name_the_best

LOSSES = [5.0, 2.0, 1.0, 3.0, 1.5, 4.0]


class Scripted(LightningModule):
    """Has the given loss after each epoch."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, _):
        self.log("loss", torch.tensor(LOSSES[self.current_epoch]), on_epoch=True, on_step=False, batch_size=1)
        return self.weight.sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kept", "filename"), [(1, "best"), (1, "{epoch}"), (3, "{epoch}"), (-1, "{epoch}")])
def test_it_is_of_the_epoch_with_the_lowest_loss(tmp_path, kept, filename):
    def callback(**settings):
        return ModelCheckpoint(tmp_path, enable_version_counter=False, save_on_train_epoch_end=True, **settings)

    trainer = Trainer(
        accelerator="cpu",
        max_epochs=len(LOSSES),
        callbacks=[callback(filename="last"), callback(monitor="loss", save_top_k=kept, filename=filename)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Scripted(), torch.utils.data.DataLoader([0.0]))
    name_the_best(trainer.checkpoint_callbacks, tmp_path)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"] == 2
