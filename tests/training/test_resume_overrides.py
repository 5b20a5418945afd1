"""What the command line changes of a run that is resumed."""

from functools import partial

import pytest
import torch
from interruptions import tiny_run
from omegaconf import OmegaConf
from structures import labelled_atoms

from sognet.data import Keys, Splits, Structure
from sognet.data.split_identity import identities
from sognet.errors import InputError
from sognet.training.learning_rates import change_settings, settings_of
from sognet.training.resume import of_the_command, resumed_configuration, same_data, spent
from sognet.training.run import train


@pytest.fixture
def run(tmp_path):
    tiny_run(tmp_path / "run", "dataset.path=mine.xyz")
    torch.save({"optimizer_settings": []}, tmp_path / "run" / "checkpoints" / "last.ckpt")
    return tmp_path / "run"


def test_data_that_are_gone_are_named_with_the_run_and_the_remedy(run):
    with pytest.raises(InputError, match=r"mine.xyz: no such file; the run in .*was started with it.*dataset.path="):
        train(resumed_configuration(run, ["tags=[again]"]))


@pytest.mark.parametrize(
    ("override", "name", "value"),
    [
        ("optimizer.lr=5e-4", "optimizer.lr", 5e-4),
        ("trainer.max_epochs=18", "trainer.max_epochs", 18),
        ("trainer.max_time=00:00:20:00", "trainer.max_time", "00:00:20:00"),
        ("+trainer.max_steps=24", "trainer.max_steps", 24),
        ("loss.energy=2e1", "loss.energy", 20.0),
        ("batch.batch_size=4", "batch.batch_size", 4),
        ("tags=[a,'b c']", "tags", ["a", "b c"]),
        ("dataset.path='a=b.xyz'", "dataset.path", "a=b.xyz"),
    ],
)
def test_values_are_read_as_hydra_reads_them_and_saved(run, override, name, value):
    resumed_configuration(run, [override])
    saved = OmegaConf.select(OmegaConf.load(run / "config.yaml"), name)
    assert saved == value
    assert type(saved) is type(value) or isinstance(value, list)


def test_a_length_takes_the_place_of_the_one_before(run):
    for override, expected in (
        ("steps=40", (None, 40, -1, 40)),
        ("epochs=7", (7, None, 7, -1)),
        ("trainer.max_epochs=9", (None, None, 9, -1)),
        ("tags=[longer]", (None, None, 9, -1)),
        ("+trainer.max_steps=30", (None, None, 9, 30)),
    ):
        config = resumed_configuration(run, [override])
        found = config.epochs, config.steps, config.trainer.max_epochs, config.trainer.get("max_steps")
        assert found == expected, override
    with pytest.raises(InputError, match="epochs and steps both"):
        resumed_configuration(run, ["epochs=3", "steps=4"])
    with pytest.raises(InputError, match=r"epochs and trainer\.max_epochs both"):
        resumed_configuration(run, ["epochs=3", "trainer.max_epochs=4"])


def test_fewer_epochs_than_the_run_has_had_are_refused_and_nothing_is_written(run):
    torch.save({"optimizer_settings": [], "epoch": 29}, run / "checkpoints" / "last.ckpt")
    before = (run / "config.yaml").read_text()
    for override in ("epochs=20", "trainer.max_epochs=20"):
        with pytest.raises(InputError, match=f"{override}: the run is in epoch 30 already; give it more"):
            resumed_configuration(run, [override])
    assert (run / "config.yaml").read_text() == before
    assert resumed_configuration(run, ["epochs=30"]).trainer.max_epochs == 30


def test_paths_are_kept_as_they_are_from_every_folder(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.xyz", "b.xyz"):
        (tmp_path / name).touch()
    resumed_configuration(run, ["dataset.path=a.xyz", "dataset.val_path=[b.xyz,elsewhere.xyz]"])
    dataset = OmegaConf.load(run / "config.yaml").dataset
    assert dataset.path == str(tmp_path / "a.xyz")
    assert dataset.val_path == [str(tmp_path / "b.xyz"), "elsewhere.xyz"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=quick", "optimizer.lr=quick: .*number"),
        ("trainer.max_epochs=many", "trainer.max_epochs=many: .*integer"),
        ("trainer.max_epochs=null", "trainer.max_epochs=null"),
        ("batch.batch_size=1.5", "batch.batch_size=1.5: .*integer"),
        ("optimizer.speed=1", "optimizer.speed"),
        ("+optimizer.speed=1", "no optimizer.speed"),
        ("optimizer=soap", "keeps its groups"),
        ("~callbacks.last", "single values"),
        ("optimizer.lr=1,2", "single values"),
        ("optimizer.lr=[1", "optimizer.lr"),
        ("model.n_latent=3", "model.n_latent: a resumed run keeps its model"),
        ("scheduler.T_max=7", "scheduler.T_max: a resumed run keeps its scheduler"),
        ("seed=7", "seed: a resumed run keeps its seed"),
        ("seed=null", "seed: a resumed run keeps its seed"),
        ("epochs=null", "give epochs"),
        ("epochs=many", "epochs=many: .*integer"),
        ("steps=0", "steps=0"),
    ],
)
def test_what_cannot_change_is_refused_by_name_and_nothing_is_written(run, override, message):
    before = (run / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=message):
        resumed_configuration(run, ["loss.energy=9", override])
    assert (run / "config.yaml").read_bytes() == before


SCHEDULES = {
    "none": None,
    "cosine": partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=10),
    "exponential": partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.8),
    "lambda": partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda n: 1 / (1 + n)),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_learning_rate_that_is_changed_is_that_of_a_run_that_had_it_from_the_start(schedule):
    def parts(lr, weight_decay):
        optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(1))], lr=lr, weight_decay=weight_decay)
        asked_for = settings_of(optimizer)
        return optimizer, asked_for, [schedule(optimizer)] if schedule else []

    def rates(optimizer, schedulers, n):
        seen = []
        for _ in range(n):
            seen.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            for scheduler in schedulers:
                scheduler.step()
        return seen

    optimizer, before, schedulers = parts(0.1, 0.01)
    rates(optimizer, schedulers, 4)
    resumed, now, others = parts(0.02, 0.05)
    resumed.load_state_dict(optimizer.state_dict())
    for scheduler, other in zip(schedulers, others, strict=True):
        other.load_state_dict(scheduler.state_dict())
    change_settings(resumed, others, before, now)
    fresh, _, its = parts(0.02, 0.05)
    assert rates(resumed, others, 5) == pytest.approx(rates(fresh, its, 9)[4:])
    assert resumed.param_groups[0]["weight_decay"] == 0.05


def test_a_run_with_nothing_left_says_what_it_had():
    config = OmegaConf.create({"trainer": {"max_epochs": 5, "max_steps": -1, "max_time": "00:00:20:00"}})
    assert spent(config) == "the run has had all of trainer.max_epochs=5 or trainer.max_time=00:00:20:00"
    config.epochs = 5
    assert spent(config) == "the run has had all of epochs=5"


@pytest.mark.parametrize("override", ["data_changed=accept", "+data_changed=accept", "data_changed='accept'"])
def test_changed_data_are_accepted_for_one_command(run, override):
    config = resumed_configuration(run, [override])
    assert of_the_command(config) == {"trust": [], "data_changed": "accept"}
    assert "data_changed" not in OmegaConf.load(run / "config.yaml")
    assert resumed_configuration(run, []).data_changed is None
    with pytest.raises(InputError, match="it is accept or null"):
        resumed_configuration(run, ["data_changed=yes"])


def test_other_data_are_refused_or_accepted():
    def splits(numbers):
        return Splits("mine", [Structure.from_atoms(labelled_atoms(5, seed=i), Keys(), f"frame {i}") for i in numbers])

    saved = identities(splits(range(3)))
    config = OmegaConf.create({"folder": "run", "data_changed": None})
    same = splits(range(3))
    assert same_data(config, same, saved) is same
    assert same_data(config, same, {}) is same  # of a checkpoint that does not say
    with pytest.raises(InputError, match=r"train 3 → 4.*data_changed=accept"):
        same_data(config, splits(range(4)), saved)
    config.data_changed = "accept"
    assert len(same_data(config, splits(range(4)), saved).train) == 4


@pytest.mark.parametrize("name", ["optimizer.lr", "module.kernel_lr_factor"])
def test_checkpoints_that_do_not_know_the_optimizer_keep_it(run, name):
    """They hold the rate that the schedule left, from which the new one cannot be told."""
    torch.save({}, run / "checkpoints" / "last.ckpt")
    before = (run / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=rf"{name}: .*last\.ckpt is of an earlier version.*start_from="):
        resumed_configuration(run, [f"{name}=0.123"])
    assert (run / "config.yaml").read_bytes() == before
    unchanged = OmegaConf.select(OmegaConf.load(run / "config.yaml"), name)
    resumed_configuration(run, [f"{name}={unchanged}", "trainer.max_epochs=200"])
