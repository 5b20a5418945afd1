"""The best checkpoint of a run is the one that its callback says."""

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sognet.training.best_checkpoint import name_the_best, name_without_folders
from sognet.training.callbacks.best import NameTheBest

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


class Look(Callback):
    """Remembers of which epoch best.ckpt is when the next one begins, as a run that is killed there leaves it."""

    def __init__(self, folder):
        self.file = folder / "best.ckpt"
        self.found = []

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch:
            self.found.append(torch.load(self.file, weights_only=True)["epoch"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("kept", "filename"), [(1, "best"), (1, "mine"), (1, "{epoch}"), (2, "{epoch}")])
def test_it_is_there_all_the_time(tmp_path, kept, filename):
    look = Look(tmp_path)
    callback = ModelCheckpoint(
        tmp_path, filename, monitor="loss", save_top_k=kept, enable_version_counter=False, save_on_train_epoch_end=True
    )
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=len(LOSSES),
        callbacks=[look, callback, NameTheBest(tmp_path)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Scripted(), torch.utils.data.DataLoader([0.0]))
    assert look.found == [0, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("{epoch}-{val/loss:.3f}", "epoch=7-val_loss=0.125"),
        ("of_{val/force_rmse/Na:.1f}", "of_val_force_rmse_Na=2.0"),
        ("{epoch}", "epoch=7"),
        ("best", "best"),
    ],
)
def test_names_with_an_error_are_files_in_the_folder_of_checkpoints(given, expected):
    callback = ModelCheckpoint(filename=given)
    name_without_folders(callback)
    values = {"epoch": torch.tensor(7), "val/loss": torch.tensor(0.125), "val/force_rmse/Na": torch.tensor(2.0)}
    assert callback.format_checkpoint_name(values) == f"{expected}.ckpt"


def test_names_that_do_without_the_names_of_errors_stay():
    callback = ModelCheckpoint(filename="{epoch}-{val/loss:.3f}", auto_insert_metric_name=False)
    name_without_folders(callback)
    assert callback.filename == "{epoch}-{val/loss:.3f}"
