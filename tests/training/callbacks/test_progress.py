"""What training and evaluation print where there is no terminal."""

import re
from types import SimpleNamespace

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from torch.utils.data import DataLoader

from sognet.progress import counted, duration, tracked
from sognet.training.callbacks.progress import ProgressLines, progress_display, why_ended


class Line(lightning.LightningModule):
    """Fits a number."""

    def __init__(self):
        super().__init__()
        self.parameter = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return (self.parameter - batch).square().mean()

    def batch_errors(self):
        return {"F meV/Å": 1400.0}

    def validation_step(self, batch, batch_idx):
        self.log("val/force_rmse", 0.123456)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def lines(capsys, every, **settings):
    loader = DataLoader(torch.ones(4), batch_size=2)
    trainer = lightning.Trainer(
        accelerator="cpu", callbacks=[ProgressLines(every)], logger=False, enable_checkpointing=False,
        enable_model_summary=False, num_sanity_val_steps=0, **settings,
    )  # fmt: skip
    trainer.fit(Line(), loader, loader)
    return capsys.readouterr().out.splitlines()


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:.*Total length of.*")
def test_lines_say_epoch_errors_and_the_time_left(capsys):
    printed = lines(capsys, 0.0, max_epochs=2)
    pattern = r"\d\d:\d\d:\d\d epoch 2 of 2, step 4: F 1400 meV/Å; validation F 0.123 meV/Å; \d+ s, about 0 s left"
    assert any(re.fullmatch(pattern, line) for line in printed), printed
    assert printed[-1].startswith("training ends: epoch 2 of 2, step 4")
    for steps, epoch in ((3, 2), (4, 2), (2, 1)):
        (line,) = lines(capsys, 30.0, max_steps=steps)
        assert line.startswith(f"training ends: epoch {epoch}, step {steps}: "), line


@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
def test_the_time_left_is_that_of_the_budget_that_ends_first(capsys):
    printed = lines(capsys, 0.0, max_epochs=-1, max_time="00:00:00:01")
    assert any("about 1 s left" in line for line in printed)
    assert "of" not in printed[0].split(":")[2]
    assert printed[-1].startswith("training ends (the time was up): epoch")


def test_an_early_end_is_explained():
    stopping = EarlyStopping("val/loss", patience=3)
    trainer = SimpleNamespace(callbacks=[stopping])
    assert why_ended(trainer) == ""
    stopping.wait_count = 3
    assert why_ended(trainer) == " (val/loss had not fallen for 3 validations)"


def test_the_time_left_of_a_resumed_run_counts_what_it_does_itself(monkeypatch):
    progress = SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(ready=0)))
    trainer = SimpleNamespace(
        max_epochs=100, max_steps=-1, current_epoch=80, num_training_batches=10, callbacks=[], global_step=800,
        fit_loop=SimpleNamespace(epoch_loop=progress),
    )  # fmt: skip
    lines = ProgressLines()
    lines.on_train_start(trainer, None)
    assert lines.seconds_left(trainer) is None
    trainer.current_epoch = 81
    monkeypatch.setattr(lines.clock, "started", lines.clock.started - 60)
    assert lines.seconds_left(trainer) == pytest.approx(19 * 60, rel=0.01)


def test_there_is_no_terminal_in_a_test():
    assert isinstance(progress_display(), ProgressLines)


def test_long_loops_print_lines(capsys):
    assert list(tracked([1, 2, 3], "reading", every=0.0)) == [1, 2, 3]
    assert capsys.readouterr().out.splitlines()[-1].startswith("reading: 2 of 3, about 0 s left")


def test_reading_of_unknown_length_counts(capsys):
    assert list(counted(iter([1, 2]), "structures of a.xyz", every=0.0)) == [1, 2]
    assert capsys.readouterr().out.splitlines()[-1] == "structures of a.xyz: 2 after 0 s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(45, "45 s"), (720, "12 min"), (12_000, "3 h 20 min"), (187_300, "2 d 4 h"), (3599, "1 h 0 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
