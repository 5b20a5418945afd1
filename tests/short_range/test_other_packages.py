"""Models of other packages as short-range models: each test runs for every package that is installed."""

import copy
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.stress import voigt_6_to_full_3x3_stress
from command import sognet
from hydra.errors import InstantiationException
from other_packages import PACKAGES, boxed, configured, ethanol, needs, salt, structures
from structures import batch_of, graph_of

from sognet import SOGNet, SOGNetCalculator, extras, load_model
from sognet.data import Statistics
from sognet.errors import InputError
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.model.build import build_model
from sognet.model.checkpoint import model_entry
from sognet.model.description import check_rebuilds
from sognet.short_range import packages

pytestmark = pytest.mark.filterwarnings(
    "ignore:The TorchScript type system doesn't support",  # e3nn 0.4
    "ignore:`torch.jit:DeprecationWarning",  # copies of its modules
    "ignore:Environment variable TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD",  # the calculator of mace
)


@pytest.fixture(params=PACKAGES)
def name(request) -> str:
    """An adapter whose package is installed."""
    return needs(request.param)


def with_layer(short_range) -> SOGNet:
    kernel = SumOfGaussians.power_law(1.0, short_range.cutoff, n_gaussians=4)
    return SOGNet(short_range, FourierConvolution(kernel, tolerance=1e-9), n_latent=2, standardize=True)


def save(model, path):
    weights = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"sognet": model_entry(model), "state_dict": weights}, path)
    return path


@pytest.mark.filterwarnings("ignore:No tensor product accelerator", "ignore:Converting a tensor")
def test_trained_models_equal_the_calculator_of_the_package(name, tmp_path):
    settings = PACKAGES[name].trained(tmp_path)
    model = SOGNet(configured(name, **settings)).eval()
    ours, theirs = SOGNetCalculator(model), PACKAGES[name].calculator(settings, model.short_range)
    for atoms in structures()[:2]:
        energy, forces = ours.get_potential_energy(atoms), ours.get_forces(atoms)
        assert energy == pytest.approx(theirs.get_potential_energy(boxed(atoms)), rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(forces, theirs.get_forces(boxed(atoms)), atol=1e-4)  # angles near 180° round
        if atoms.pbc.all():
            stress = np.reshape(theirs.get_stress(atoms), -1)  # (6,), or (9,) of chgnet
            mine = ours.get_stress(atoms)
            np.testing.assert_allclose(
                mine if len(stress) == 6 else voigt_6_to_full_3x3_stress(mine).ravel(), stress, atol=2e-6
            )


def test_forces_and_stress_with_the_layer_are_the_derivatives_of_the_energy(name, double):
    ours = SOGNetCalculator(with_layer(configured(name)).eval())
    for atoms in (salt(), ethanol()):
        atoms.calc = ours
        assert atoms.get_forces() == pytest.approx(calculate_numerical_forces(atoms, 1e-4), abs=1e-5)
        if atoms.pbc.all():
            assert atoms.get_stress() == pytest.approx(calculate_numerical_stress(atoms, 1e-4), abs=1e-6)


def test_a_batch_equals_its_structures_one_by_one(name, double):
    model = with_layer(configured(name)).eval()
    together = model(batch_of(*structures(), cutoff=model.cutoff))
    alone = [model(graph_of(atoms, cutoff=model.cutoff)) for atoms in structures()]
    for what in ("energy", "forces", "stress", "latent"):
        torch.testing.assert_close(together[what], torch.cat([one[what] for one in alone]), atol=1e-9, rtol=1e-9)


def test_a_loss_of_forces_and_energies_reaches_every_parameter(name):
    model = with_layer(configured(name)).train()
    out = model(batch_of(salt(), ethanol(), cutoff=model.cutoff))
    (out["forces"].square().sum() + out["energy"].square().sum()).backward()
    without = [key for key, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert without == []


def test_checkpoints_hold_the_weights_and_need_no_file_of_the_package(name, tmp_path, monkeypatch):
    model = with_layer(configured(name, **PACKAGES[name].trained(tmp_path))).eval()
    check_rebuilds(model)
    path = save(model, tmp_path / "best.ckpt")

    def refuse(*_, **__):
        raise AssertionError("the weights of the package were read again")

    monkeypatch.setattr(f"sognet.short_range.{name}.trained", refuse, raising=False)  # nequip has none
    loaded = load_model(path)
    for atoms in structures():
        ours, theirs = (m(graph_of(atoms, cutoff=m.cutoff)) for m in (loaded, model))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-6)
    assert torch.equal(*(copy.deepcopy(m)(graph_of(salt(), m.cutoff))["forces"] for m in (loaded, loaded)))


def test_another_release_of_the_package_is_said(name, tmp_path, caplog):
    model = with_layer(configured(name))
    path = save(model, tmp_path / "last.ckpt")
    with caplog.at_level(logging.WARNING):
        load_model(path)
        assert not caplog.records
        model.short_range.package = "other 0.0.1"
        load_model(save(model, path))
    assert f"written with other 0.0.1 and is read with {load_model(path).short_range.package}" in caplog.text


@pytest.mark.parametrize("adapter", PACKAGES)
def test_a_missing_package_is_named_with_its_extra(adapter, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"pip install 'sognet\[{adapter}\]'"):
        configured(adapter)


def test_settings_and_sources_that_are_not_there_are_named(name):
    with pytest.raises(InputError, match="no setting chanel"):
        configured(name, chanel=3)
    if name == "nequip":
        return
    with pytest.raises(InputError, match="no-model"):
        configured(name, pretrained="no-model")
    with pytest.raises(InputError, match="no such file"):
        configured(name, checkpoint="no-file")
    with pytest.raises(InputError, match="not both"):
        configured(name, pretrained="a", checkpoint="b")


def test_the_kernel_starts_beyond_the_cutoff_of_the_trained_model(name, tmp_path, caplog):
    """Not beyond the one that the configuration has for models from scratch."""
    if name == "nequip":
        return
    settings = PACKAGES[name].trained(tmp_path)
    network = {"_target_": f"sognet.short_range.{name}.configured", "species": None, "cutoff": 7.0, **settings}
    layer = {"_target_": "sognet.long_range.power_law_convolution", "cutoff": 7.0, "n_gaussians": 4}
    config = {"_target_": "sognet.SOGNet", "long_range": layer, "energy_scale": 1.0, "reference_energies": None}
    found = Statistics(["Na", "Cl"], {}, isolated_energies={}, force_rms=0.5)
    with caplog.at_level(logging.INFO):
        model = build_model(config | {"short_range": network}, found, trust=["mace"])
    assert model.cutoff < 7.0
    assert f"has a cutoff of {model.cutoff:g} Å of its own; model.short_range.cutoff=7 does not count" in caplog.text
    expected = SumOfGaussians.power_law(1.0, model.cutoff, n_gaussians=4)
    torch.testing.assert_close(model.long_range.kernel.bandwidths, expected.bandwidths)
    config = config | {"short_range": network, "long_range": layer | {"cutoff": 9.0}}
    expected = SumOfGaussians.power_law(1.0, 9.0, n_gaussians=4)
    kernel = build_model(config, found, trust=["mace"]).long_range.kernel
    torch.testing.assert_close(kernel.bandwidths, expected.bandwidths)


def test_a_pickled_model_is_read_where_its_package_is_trusted(tmp_path):
    settings = PACKAGES[needs("mace")].trained(tmp_path)
    with pytest.raises(InputError, match=r"trust=\[mace\]"):
        configured("mace", checkpoint=settings["checkpoint"])
    network = {"_target_": "sognet.short_range.mace.configured", "species": None, "cutoff": 5.0, **settings}
    config = {"_target_": "sognet.SOGNet", "long_range": {"_target_": None}, "energy_scale": 1.0}
    config |= {"short_range": network, "reference_energies": {"Na": 1.0}}
    found = Statistics(["Na", "Cl"], {}, isolated_energies={}, force_rms=0.5)
    assert build_model(config, found, trust=["mace"]).species == ["C", "H", "O", "Na", "Cl"]
    with pytest.raises(InstantiationException, match=r"trust=\[mace\]"):
        build_model(config, found, trust=[])


@pytest.mark.slow
def test_commands_train_evaluate_and_fine_tune(name, data, tmp_path):
    settings = [f"model.short_range.{key}={value}" for key, value in PACKAGES[name].settings.items()]
    short = ["epochs=1", "batch.batch_size=8", "trainer.accelerator=cpu", "logger=csv"]
    run = ["train", f"dataset.path={data}", f"model/short_range={name}", *settings, *short]
    sognet(*run, "loss.stress=1", f"hydra.run.dir={tmp_path}/run")
    sognet("evaluate", f"checkpoint={tmp_path}/run", f"hydra.run.dir={tmp_path}/report")
    fine = ["train", f"dataset.path={data}", f"start_from={tmp_path}/run/checkpoints/best.ckpt"]
    sognet(*fine, "freeze=[short_range.*]", *short, f"hydra.run.dir={tmp_path}/fine")
    first, second = (load_model(tmp_path / folder).short_range.state_dict() for folder in ("run", "fine"))
    assert all(torch.equal(first[key], second[key]) for key in first)


class Harmful:
    def __reduce__(self):
        return (print, ("this would run",))


def test_files_that_hold_code_are_not_read(tmp_path, capsys):
    torch.save({"config": Harmful()}, tmp_path / "harmful.pth")
    with (
        pytest.raises(InputError, match="more than numbers and tensors"),
        packages.without_code(tmp_path / "harmful.pth"),
    ):
        pass
    assert capsys.readouterr().out == ""
    torch.save({"shift": np.arange(3.0), "weights": torch.ones(2)}, tmp_path / "plain.pth")
    with packages.without_code(tmp_path / "plain.pth") as read:
        assert torch.load(read, weights_only=False)["shift"].tolist() == [0, 1, 2]


def test_the_layer_in_a_model_of_the_package_as_documented(name, monkeypatch, tmp_path, capsys):
    page = (Path(__file__).parents[2] / "docs/other_packages.md").read_text()
    (code,) = re.findall(rf'```python title="{name}_long_range.py"\n(.*?)```', page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, f"{name}_long_range.py", "exec"), {"__name__": "example"})
    assert "torch.Size([8, 3])" in capsys.readouterr().out
