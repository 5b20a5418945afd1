"""What callbacks compare runs by is checked before training against what training logs."""

from functools import partial

import lightning
import pytest
from fitting import fit
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from structures import small_model
from torch.optim import Adam

from sognet.analysis.model_report import typical_boxes
from sognet.data import Splits
from sognet.errors import InputError
from sognet.training.callbacks.data_loading import DataLoadingMonitor
from sognet.training.callbacks.long_range_diagnostics import LongRangeDiagnostics
from sognet.training.callbacks.validation import ErrorsByGroup, TrainingErrors
from sognet.training.loss import PotentialLoss
from sognet.training.module import PotentialModule
from sognet.training.monitored import check_monitors, common_errors, other_values


@pytest.fixture
def splits(graphs):
    for number, structure in enumerate(graphs.structures):
        structure.info["config_type"] = "bulk" if number % 2 else "slab"
    return Splits("made", train=graphs.structures, val=graphs.structures)


def module_of(**weights):
    return PotentialModule(
        small_model(), PotentialLoss(**{"energy": 1.0, "forces": 1.0} | weights), partial(Adam, lr=1e-3)
    )


@pytest.mark.parametrize("weights", [{}, {"stress": 1.0}, {"forces": 0.0}, {"energy": 0.0, "neutrality": 0.1}])
def test_the_names_are_those_that_training_logs(graphs, splits, weights):
    module = module_of(**weights)
    callbacks = [TrainingErrors(), ErrorsByGroup(), LongRangeDiagnostics(typical_boxes(splits)), DataLoadingMonitor()]
    trainer = fit(module, graphs, callbacks, max_epochs=1)
    common = set(common_errors(module.loss, splits, validates=True))
    assert common <= set(trainer.callback_metrics)
    of_target = set(trainer.callback_metrics) - set(other_values(callbacks, module, splits, validates=True))
    assert {name for name in of_target if "mse" not in name.split("_")} == common


@pytest.mark.parametrize("callback", [EarlyStopping, partial(ModelCheckpoint, filename="best")])
@pytest.mark.parametrize(("name", "meant"), [("val/forces_rmse", "val/force_rmse"), ("val_loss", "val/loss")])
def test_a_name_that_will_not_be_logged_is_refused(splits, callback, name, meant):
    with pytest.raises(InputError, match=rf"monitor={name} .*did you mean {meant}\?.*val/energy_mae"):
        check_monitors([callback(monitor=name)], module_of(), splits, validates=True)


def test_errors_of_a_validation_that_there_is_not_are_refused(splits):
    with pytest.raises(InputError, match=r"val/force_rmse will not be logged.*train/force_rmse"):
        check_monitors([EarlyStopping(monitor="val/force_rmse")], module_of(), splits, validates=False)


@pytest.mark.parametrize(
    "name", ["val/loss", "val/force_rmse/Na", "val/energy_mae/config_type=slab", "train/forces", "lr"]
)
def test_what_will_be_logged_is_taken(splits, name):
    check_monitors([EarlyStopping(monitor=name), ErrorsByGroup()], module_of(), splits, validates=True)


def test_callbacks_of_ones_own_may_log_anything(splits):
    class Own(lightning.Callback):
        """Logs what nobody knows."""

    check_monitors([EarlyStopping(monitor="mine"), Own()], module_of(), splits, validates=True)
