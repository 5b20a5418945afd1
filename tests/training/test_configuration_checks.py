"""Mistakes are refused, with what to do; what is shipped is not."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from sognet.cli.configuration import CONFIGURATION
from sognet.errors import InputError
from sognet.training.configuration_checks import check, check_one_batch

LBFGS = ["optimizer=lbfgs", "scheduler=none"]


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        return compose("train", list(overrides))


def checked(*overrides: str) -> None:
    check(composed(*overrides), overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.max_epochs=abc"], r"trainer.max_epochs=abc: .*integer"),
        (["model.n_latent=2.5"], r"model.n_latent=2.5: .*integer"),
        (["model.energy_hidden=[8,many]"], r"model.energy_hidden.*integer"),
        (["model.short_range.cutoff=far"], r"model.short_range.cutoff=far: .*number"),
        (["model.long_range.n_gaussians=some"], r"model.long_range.n_gaussians=some: .*integer"),
        (["model.reference_energies=lonely"], r"model.reference_energies=lonely"),
        (["optimizer.lr=quick"], r"optimizer.lr=quick: .*number"),
        (["batch.batch_size=big"], r"batch.batch_size=big: .*integer"),
        (["batch.stages=[{batch_size: 8, epoch: 3}]"], r"no batch.stages\[0\].epoch; did you mean .*epochs\?"),
        (["seed=lucky"], r"seed=lucky: .*integer"),
        (["module.kernel_lr_factor=more"], r"module.kernel_lr_factor=more: .*number"),
        (["module.latent_lr_factor=more"], r"module.latent_lr_factor=more: .*number"),
        (["scheduler.interval=hour"], "scheduler.interval=hour: .*'epoch' or 'step'"),
        (["seed=null"], "seed=null"),
        (["epochs=3", "steps=20"], "epochs and steps both say how long"),
        (["epochs=3", "trainer.max_epochs=3"], r"epochs and trainer\.max_epochs both say how long"),
        (["steps=3", "+trainer.max_steps=3"], r"steps and trainer\.max_steps both say how long"),
        (["epochs=3", "batch=doubling"], r"epochs and batch\.stages both"),
        (["time=20"], "time=20: write a time with its unit"),
        (["time=20min", "epochs=3"], "time and epochs both"),
        (["trainer.max_time=soon"], "trainer.max_time=soon: write a time"),
        (["epochs=0"], "epochs=0: a training has at least one"),
        (["epochs=2.5"], "epochs=2.5: .*integer"),
        (["trainer.max_epochs=null"], "trainer.max_epochs=null"),
        (["+trainer.fast_dev_run=true"], "debug=limit"),
        (["+trainer.limit_train_batches=0"], "nothing to train on"),
        (["trainer.limit_train_batches=few"], "trainer.limit_train_batches=few: .*integer"),
        (["+trainer.limit_test_batches=1"], "test=false"),
        (["callbacks.checkpoint.save_top_k=3"], r"callbacks.checkpoint.filename='\{epoch\}'"),
        (["+callbacks.checkpoint.save_top_k=3"], r"callbacks.checkpoint.filename='\{epoch\}'"),
        (["callbacks=ema"], r"nothing saves a checkpoint.*'callbacks=\[default,ema\]'"),  # Lightning#6763
        (["callbacks=[ema,early_stopping]"], r"'callbacks=\[default,ema,early_stopping\]'"),
        (["callbacks.last=null", "callbacks.checkpoint=null"], "nothing saves a checkpoint"),
        (["+trainer.enable_checkpointing=false"], "enable_checkpointing"),
        (["tags=[1E234,2024]"], r"tags=\[1e\+234, 2024\]: .*quotes of its own: 'tags=\[\"2024\"\]'"),  # hydra#2599
        (["tags=mine"], "tags=mine: .*list"),
        (["test=perhaps"], "test=perhaps: .*boolean"),
        (["+warmup=3"], "no warmup; there are name"),
        (["+warmup_steps=3"], "warmup_steps is called module.warmup_steps now"),
        (["+model.composition_energies={}"], "called model.reference_energies now"),
        (["+model.n_latents=2"], r"no model.n_latents; did you mean model.n_latent\?"),
        (["+model.long_range.n_gausians=2"], r"did you mean model.long_range.n_gaussians\?"),
        (["+callbacks.mine._target_=sognet.training.callbacks.monitors.Mine"], r"callbacks.mine._target_"),
        ([*LBFGS, "trainer.accumulate_grad_batches=2"], "one batch"),
        ([*LBFGS, "batch=doubling"], "one batch"),
        ([*LBFGS, "trainer.gradient_clip_val=1.0"], "gradient_clip_val"),
        ([*LBFGS, "callbacks=[default,ema]"], "ema"),
        ([*LBFGS, "trainer=ddp_cpu"], "one device"),
        ([*LBFGS, "module.kernel_lr_factor=2"], "kernel_lr_factor"),
        ([*LBFGS, "module.latent_lr_factor=2"], "latent_lr_factor"),
        (["batch=doubling", "trainer.max_epochs=3"], "batch.stages"),
        (["trainer=ddp_cpu", "trainer.devices=1"], "one device"),
        (["start_from=a.ckpt", "model.n_latent=2"], "model.n_latent and start_from"),
        (["start_from=a.ckpt", "model.initial_charges={Na: 1, Cl: -1}"], "model.initial_charges and start_from"),
        (["model.charges={Na: 1}", "model.initial_charges={Na: 1}"], "model.initial_charges and model.charges"),
        (["model.initial_charges={Na: plus, Cl: -1}"], r"initial_charges=.*number"),
        (["freeze=short_range"], "freeze=short_range: .*list"),
        ([*LBFGS, "batch.max_atoms=100"], "one batch"),
        (["dataset.val_fraction=0.2", "dataset.val_path=val.xyz"], "dataset.val_fraction"),
        (["dataset.test_fraction=0.2", "dataset.test_path=test.xyz"], "dataset.test_fraction"),
        (["trainer.precision=bf16-mixed"], "set 32-true or 64-true"),
    ],
)
def test_mistakes_are_named_before_anything_happens(overrides, message):
    with pytest.raises(InputError, match=message):
        checked(*overrides)


def test_values_that_stand_for_others_are_accepted():
    checked("model.reference_energies=isolated", "model.reference_energies={Na: -1.0}", "trainer.devices=auto")
    checked("epochs=40", "experiment=water")
    checked("time=00:20:00", "experiment=dimers")
    checked("epochs=null", "steps=20")
    checked('tags=["2024"]', "callbacks.last=null")
    checked("callbacks=ema", "train=false")
    checked("batch.stages=[{batch_size: 8, epochs: 3}]", "trainer.max_time=00:00:20:00", "model.energy_hidden=[8]")


@pytest.mark.parametrize(
    ("overrides", "factor"),
    [([], 0.1), (["module=published"], 1.0), (["experiment=water"], 1.0), (["experiment=dimers"], 1.0), (LBFGS, 1.0)],
)
def test_kernels_wait_for_the_charges_but_where_settings_are_published_or_there_are_no_rates(overrides, factor):
    assert composed(*overrides).module.kernel_lr_factor == factor


def test_lbfgs_takes_all_structures_in_one_batch():
    checked(*LBFGS)
    config = composed(*LBFGS, "batch.batch_size=4")
    check_one_batch(config, 4)
    with pytest.raises(InputError, match=r"all 5 .* set batch.batch_size=5"):
        check_one_batch(config, 5)
