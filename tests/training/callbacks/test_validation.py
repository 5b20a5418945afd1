"""What runs log for people to look at."""

import csv
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import lightning
import pytest
import torch
import wandb
from ase.io import read, write
from hydra import compose, initialize_config_dir
from lightning.pytorch.loggers import TensorBoardLogger
from structures import batch_of, labelled_atoms, random_atoms, small_model
from torch.optim import AdamW
from wandb_file import configuration, logged_keys, records

from sognet.analysis.model_report import typical_boxes
from sognet.analysis.predictions import predict
from sognet.cli.configuration import CONFIGURATION
from sognet.data import Keys, Splits, Structure, StructureDataModule
from sognet.training.callbacks.long_range_diagnostics import LongRangeDiagnostics
from sognet.training.callbacks.non_finite import TerminateOnNonFiniteGradient
from sognet.training.callbacks.validation import ErrorsByGroup, Figures, TrainingErrors, long_range_forces
from sognet.training.loggers.workspace import training_workspace
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule
from sognet.training.optimizers import LBFGS
from sognet.training.run import train

ADAM = partial(AdamW, lr=0.01)
FIGURES = {"figures/parity", "figures/distributions", "figures/kernel"}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    """A run of three epochs with wandb, offline, TensorBoard and metrics.csv."""
    pytest.importorskip("tensorboard")
    folder = tmp_path_factory.mktemp("run")
    structures = [labelled_atoms(6 + i % 4, seed=i) for i in range(20)]
    for i, atoms in enumerate(structures):
        atoms.info["config_type"] = ("bulk", "slab")[i % 2]
    write(folder / "data.xyz", structures, format="extxyz")
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose(
            "train",
            [
                "model=published", "optimizer=adam", "batch.batch_size=8",
                f"folder={folder}", f"dataset.path={folder}/data.xyz", "dataset.val_fraction=0.3",
                "dataset.test_fraction=0.1", "loss.stress=1.0", "loss.kernel=0.1", "model.n_latent=2",
                "model.short_range.cutoff=4", "model.short_range.core_embedding=[4,8]",
                "model.short_range.shell_embedding=[4,8]", "model.short_range.n_axis=2", "trainer=cpu",
                "trainer.max_epochs=3", "batch.eval_batch_size=4", "logger=[csv,wandb,tensorboard]",
                "~callbacks.progress",
            ],
        )  # fmt: skip
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WANDB_X_STATS_SAMPLING_INTERVAL", "0.1")
        train(config)
        wandb.teardown()  # the process that writes has written
    return folder


@pytest.mark.filterwarnings(
    "ignore:Pydantic V1 style", "ignore:Support for class-based `config`"
)  # of wandb-workspaces
def test_every_panel_shows_what_a_run_logs(run_folder):
    pytest.importorskip("wandb_workspaces")
    shown = training_workspace("entity", "project")
    assert [s.name for s in shown.sections] == ["errors", "kernel", "latents", "optimizer", "system"]
    logged = logged_keys(run_folder) | {"system/gpu.0.gpu", "system/gpu.0.memoryAllocated"}  # of a machine with a GPU
    for section in shown._to_model().spec.section.panel_bank_config.sections:
        assert section.panels
        for panel in section.panels:
            settings = panel.config.model_dump()
            keys = (settings.get("metrics") or []) + (settings.get("media_keys") or [])
            assert set(keys) <= logged
            if pattern := settings.get("metric_regex"):
                assert any(re.search(pattern, key) for key in logged), pattern
            else:
                assert keys, settings


def test_wandb_has_the_configuration_histograms_and_the_best_checkpoint(run_folder):
    assert {"force_error/Na", "force_error/Cl", "latent/Na/0", "latent/Cl/1"} <= logged_keys(run_folder)
    assert configuration(run_folder)["model"]["n_latent"] == 2
    (artifact,) = [r.artifact for r in records(run_folder) if r.WhichOneof("record_type") == "artifact"]
    assert artifact.type == "model"
    (file,) = artifact.manifest.contents
    assert file.size == (run_folder / "checkpoints" / "best.ckpt").stat().st_size


def test_tensorboard_has_the_same(run_folder):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator
    events = accumulator(str(run_folder / "tensorboard"))
    events.Reload()
    tags = events.Tags()
    logged = {key for key in logged_keys(run_folder) if "/" in key and not key.startswith("system/")}
    histograms = {key for key in logged if key.startswith(("force_error/", "latent/"))}
    assert set(tags["images"]) == FIGURES
    assert set(tags["histograms"]) == histograms
    assert logged - FIGURES - histograms - {"trainer/global_step"} <= set(tags["scalars"])
    assert "n_latent: 2" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()


def test_errors_by_group_are_those_of_the_evaluation(run_folder):
    with (run_folder / "metrics.csv").open() as file:
        best = min((r for r in csv.DictReader(file) if r["val/loss"]), key=lambda r: float(r["val/loss"]))
    with (run_folder / "errors.csv").open() as file:
        evaluated = {r["group"]: r for r in csv.DictReader(file) if r["split"] == "val"}
    compared = 0
    for group, errors in evaluated.items():
        for error in ("force_rmse", "force_mae", "energy_rmse", "energy_mae"):
            if group != "all" and not group.startswith(("formula=", "source=")) and errors[error]:
                assert float(best[f"val/{error}/{group}"]) == pytest.approx(float(errors[error]), rel=1e-4)
                compared += 1
    assert compared == 2 * 2 + 2 * 4  # forces of two elements, forces and energies of two configuration types


def test_the_share_of_the_long_range_is_that_of_the_written_predictions(run_folder):
    with (run_folder / "metrics.csv").open() as file:
        best = min((r for r in csv.DictReader(file) if r["val/loss"]), key=lambda r: float(r["val/loss"]))
    validated = [a.info for a in read(run_folder / "predictions.extxyz", ":") if a.info["split"] == "val"]
    long_range = sum(abs(info["energy_long_range"]) for info in validated)
    whole = sum(abs(info["energy_long_range"] + info["energy_short_range"]) for info in validated)
    assert float(best["val/long_range_share"]) == pytest.approx(long_range / whole, rel=1e-4)


@pytest.mark.usefixtures("double")
def test_the_long_range_part_of_forces_is_the_derivative_of_the_long_range_energy(device):
    model = small_model().to(device).eval()
    batch = batch_of(random_atoms(6), random_atoms(5, pbc=False, seed=1)).to(device)
    forces = long_range_forces(model, batch)
    for atom in (0, 8):
        for axis in range(3):
            energies = []
            for step in (1e-4, -1e-4):
                moved = batch.clone()
                moved.pos[atom, axis] += step
                energies.append(model(moved)["energy_long_range"].sum().item())
            assert forces[atom, axis].item() == pytest.approx((energies[1] - energies[0]) / 2e-4, rel=1e-5, abs=1e-8)


class Recorder(lightning.pytorch.loggers.logger.DummyLogger):
    """Keeps what is logged."""

    def __init__(self):
        super().__init__()
        self.logged = []

    def log_metrics(self, metrics, step=None):
        self.logged.append(metrics)


def fit(callbacks, loss=None, optimizer=ADAM, val=6, epochs=1, model=None, device="cpu") -> set[str]:
    structures = [Structure.from_atoms(labelled_atoms(5 + i, seed=i), Keys(), "test") for i in range(10)]
    recorder = Recorder()
    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator=device, devices=1, logger=recorder, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, inference_mode=False, num_sanity_val_steps=0,
        log_every_n_steps=1, callbacks=callbacks,
    )  # fmt: skip
    module = PotentialModule(model or small_model(), loss or PotentialLoss(1.0, 1.0), optimizer)
    splits = Splits("test", train=structures[val:], val=structures[:val])
    trainer.fit(module, datamodule=StructureDataModule(splits, 4.0, batch_size=4, eval_batch_size=4))
    return {key for metrics in recorder.logged for key in metrics}


@pytest.fixture
def callbacks(tmp_path) -> list[lightning.Callback]:
    return [TerminateOnNonFiniteGradient(tmp_path), TrainingErrors(), ErrorsByGroup(), Figures()]


def test_forces_that_are_not_predicted_are_left_out(callbacks):
    keys = fit(callbacks, loss=PotentialLoss(1.0, 0.0))
    assert {"val/energy_rmse", "val/energy_long_range_rms", "train/energy_rmse"} <= keys
    assert not [key for key in keys if "force" in key]


def test_a_short_range_model_has_no_long_range_part(callbacks, device):
    model = small_model()
    model.long_range = model.latent_head = None
    keys = fit(callbacks, model=model, device=device)
    assert {"val/force_rmse/Na", "val/energy_short_range_rms"} <= keys
    assert not [key for key in keys if "long_range" in key]


@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")
def test_training_errors_and_gradients_with_line_search_and_without_validation(callbacks, device):
    keys = fit(callbacks, optimizer=partial(LBFGS, max_iter=3), val=0, device=device)
    assert {"gradient_norm/mean", "gradient_norm/max", "train/energy_rmse", "train/force_rmse"} <= keys
    assert not [key for key in keys if key.startswith("val/")]


def test_the_logged_norms_are_those_of_the_steps(tmp_path, device):
    norms = []

    class Watch(lightning.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            norms.append(torch.cat([p.grad.ravel() for p in pl_module.parameters() if p.grad is not None]).norm())

        def on_train_end(self, trainer, pl_module):
            for name, expected in (("mean", torch.stack(norms).mean()), ("max", torch.stack(norms).max())):
                torch.testing.assert_close(trainer.callback_metrics[f"gradient_norm/{name}"], expected)

    fit([Watch(), TerminateOnNonFiniteGradient(tmp_path)], val=2, device=device)
    assert len(norms) == 2


def test_training_errors_are_those_of_the_model_whatever_the_weights_of_the_stage(device):
    """The model stands still, so its errors are the same in both stages."""
    found = []

    class Collect(lightning.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            found.append([trainer.callback_metrics[f"train/{t}_rmse"].item() for t in ("energy", "force")])

        def on_train_end(self, trainer, pl_module):
            batch = next(iter(trainer.train_dataloader)).to(pl_module.device)
            difference = pl_module.model(batch)["forces"] - batch.forces
            per_structure = [difference[batch.batch == i].square().mean() for i in range(batch.num_graphs)]
            assert len(per_structure) == 4
            found.append(1000 * torch.stack(per_structure).mean().sqrt().item())

    loss = PotentialLoss(5.0, 3.0, stages=[{"epochs": 1, "energy": 50.0, "forces": 0.5}])
    fit([TrainingErrors(), Collect()], loss=loss, optimizer=partial(AdamW, lr=0.0), epochs=2, device=device)
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[1][1] == pytest.approx(found[2], rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [((1, 1e9), [0, 1, 2, 3, 4]), ((2, 1e9), [0, 2, 4]), ((10, 1e9), [0]), ((1, 0.0), [5]), ((10, 0.0), [5])],
)
def test_figures_are_drawn_at_every_nth_validation_within_their_share_of_the_time_or_at_the_end(
    settings, expected, monkeypatch
):
    figures, drawn = Figures(*settings), []

    def draw(trainer, model):
        drawn.append(trainer.current_epoch)
        assert len(figures.predictions) == 6
        actually(trainer, model)

    actually = figures._draw
    monkeypatch.setattr(figures, "_draw", draw)
    fit([figures], epochs=5)
    assert drawn == expected


def test_figures_read_nothing_of_the_training_split(tmp_path, device):
    """Which may be a data set of any size, read block by block."""
    pytest.importorskip("tensorboard")
    structures = [Structure.from_atoms(labelled_atoms(5, seed=i), Keys(), f"{i}") for i in range(4)]
    boxes = typical_boxes(Splits("test", structures))

    class Unread(list):
        def __getitem__(self, number):
            raise AssertionError("read for a figure")

    figures = Figures()
    figures.predictions = list(predict(small_model(), structures))
    splits = Splits("test", Unread(structures), structures)
    run_logger = TensorBoardLogger(tmp_path)
    trainer = SimpleNamespace(
        callbacks=[LongRangeDiagnostics(boxes)], loggers=[run_logger], global_step=1,
        datamodule=SimpleNamespace(splits=splits),
    )  # fmt: skip
    figures._draw(trainer, small_model().to(device))
    assert figures.drawn
