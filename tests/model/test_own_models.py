"""A model of modules outside the package: contract, energies and forces, reference energies, checkpoints."""

import enum

import numpy as np
import pytest
import torch
from own_models import Radial, Repulsive, Yukawa
from structures import batch_of, graph_of, random_atoms, saved_model, small_model
from torch import nn

from sognet import SOGNet, SOGNetCalculator, load_model
from sognet.data import Keys, Statistics, Structure
from sognet.errors import InputError
from sognet.interfaces import ShortRangeOutput
from sognet.model.build import build_model
from sognet.model.checkpoint import model_entry
from sognet.model.description import check_rebuilds, describe

SPECIES, CUTOFF = ["Na", "Cl"], 4.0
SHORT_RANGE = {"Radial": lambda: Radial(SPECIES, CUTOFF), "Repulsive": lambda: Repulsive(SPECIES, CUTOFF)}


def model_of(kind, long_range=None, **settings):
    torch.manual_seed(0)
    return SOGNet(SHORT_RANGE[kind](), long_range, **settings)


def save(model, path):
    weights = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"sognet": model_entry(model), "state_dict": weights}, path)
    return path


@pytest.mark.parametrize("kind", SHORT_RANGE)
@pytest.mark.parametrize("long_range", [None, Yukawa])
def test_forces_and_stress_are_the_derivatives_of_the_energy(double, kind, long_range, device):
    model = model_of(kind, long_range and long_range(3.0), standardize=True, n_latent=2).to(device).eval()
    atoms = random_atoms(8, cell=12 * np.eye(3))
    model.set_standardization(graph_of(atoms).to(device))
    out, h = model(graph_of(atoms).to(device)), 1e-5

    def energy(changed):
        return model(graph_of(changed).to(device), forces=False, stress=False)["energy"].item()

    for i, axis in [(0, 0), (3, 2)]:
        moved = [atoms.copy(), atoms.copy()]
        for copy, sign in zip(moved, (1, -1), strict=True):
            copy.positions[i, axis] += sign * h
        slope = (energy(moved[0]) - energy(moved[1])) / (2 * h)
        assert out["forces"][i, axis].item() == pytest.approx(-slope, abs=1e-7)
    strained = [atoms.copy(), atoms.copy()]
    for copy, sign in zip(strained, (1, -1), strict=True):
        copy.set_cell(np.diag([12 * (1 + sign * h), 12, 12]), scale_atoms=True)
    slope = (energy(strained[0]) - energy(strained[1])) / (2 * h) / 12**3
    assert out["stress"][0, 0, 0].item() == pytest.approx(slope, abs=1e-9)


def test_a_model_with_energies_has_no_energy_network_of_ours(double, device):
    model = model_of("Repulsive", reference_energies={"Na": -1.5, "Cl": -2.5}).to(device).eval()
    assert model.energy_head is None
    assert [name for name, _ in model.named_parameters()] == ["short_range.scale"]
    atoms = random_atoms(9, pbc=False)
    expected = -1.5 * atoms.symbols.count("Na") - 2.5 * atoms.symbols.count("Cl")
    r = atoms.get_all_distances()[np.triu_indices(9, 1)]
    r = r[r < CUTOFF]
    expected += (2.0 * np.exp(-r) * (0.5 * np.cos(np.pi * r / CUTOFF) + 0.5)).sum()
    out = model(graph_of(atoms).to(device), energies=True)
    assert out["energy"].item() == pytest.approx(expected, abs=1e-10)
    assert out["energies"].sum().item() == pytest.approx(expected, abs=1e-10)


def test_atoms_of_one_structure_do_not_see_those_of_another(device):
    model = model_of("Repulsive", Yukawa(), n_latent=1).to(device).eval()
    structures = [random_atoms(5, seed=1), random_atoms(9, seed=2)]
    together = model(batch_of(*structures).to(device))["energy"]
    alone = torch.cat([model(graph_of(a).to(device))["energy"] for a in structures])
    torch.testing.assert_close(together, alone)


def test_large_energies_of_a_model_are_summed_in_double_precision(device):
    """1e4 eV per atom: single precision would round a sum of 1000 atoms to half an eV."""
    model = SOGNet(Repulsive(SPECIES, CUTOFF, strength=0.0, offset=-10_000.0)).to(device).eval()
    graph = graph_of(random_atoms(999, cell=60 * np.eye(3))).to(device)
    energy = model(graph, forces=False, stress=False)["energy"]
    assert energy.item() == pytest.approx(-9_990_000.0, abs=1e-6)


def config(**changes):
    return {
        "_target_": "sognet.SOGNet",
        "short_range": {"_target_": "own_models.Repulsive", "species": None, "cutoff": CUTOFF},
        "long_range": {"_target_": None},
        "reference_energies": None,
        "energy_scale": None,
    } | changes


FOUND = Statistics(SPECIES, {"Na": 99.0, "Cl": 99.0}, isolated_energies={}, force_rms=0.5)


def labelled(*symbols_and_seeds):
    """Structures whose energy is that of Repulsive and −3 eV per Na and −7 eV per Cl."""
    model = SOGNet(Repulsive(SPECIES, CUTOFF), reference_energies={"Na": -3.0, "Cl": -7.0}).eval()
    structures = []
    for atoms in symbols_and_seeds:
        structure = Structure.from_atoms(atoms, Keys(None, None), "test")
        structure.energy = model(graph_of(atoms), forces=False, stress=False)["energy"].item()
        structures.append(structure)
    return structures


def test_reference_energies_are_those_of_what_the_model_leaves():
    structures = labelled(*(random_atoms(n, seed=n) for n in (4, 7, 9, 12, 15)))
    model = build_model(config(), FOUND, structures, trust=["own_models"])
    assert model.reference_energies == pytest.approx({"Na": -3.0, "Cl": -7.0}, abs=1e-5)
    given = build_model(config(reference_energies={"Na": -1.0}), FOUND, structures, trust=["own_models"])
    assert given.reference_energies == {"Na": -1.0}


def test_of_isolated_atoms_the_energies_of_the_model_are_taken_off():
    single = []
    for symbol in ("Na", "Cl"):
        atoms = random_atoms(1, pbc=False)
        atoms.symbols[:] = symbol
        single.append(atoms)
    structures = labelled(*single, random_atoms(8))
    offset = {"_target_": "own_models.Repulsive", "species": None, "cutoff": CUTOFF, "offset": 5.0}
    settings = config(reference_energies="isolated", short_range=offset)
    model = build_model(settings, FOUND, structures, trust=["own_models"])
    assert model.reference_energies == pytest.approx({"Na": -8.0, "Cl": -12.0})


def test_elements_that_the_short_range_model_does_not_know_are_named():
    known = {"_target_": "own_models.Radial", "species": ["Na"], "cutoff": CUTOFF}
    with pytest.raises(InputError, match="have Cl; the short-range model knows Na"):
        build_model(config(short_range=known), FOUND, [], trust=["own_models"])


class Fixed(Radial):
    def __init__(self, width=4):
        super().__init__(["H", "Cl", "Na"], 5.0, width)


def test_species_and_cutoff_of_a_model_may_be_its_own():
    fixed = {"_target_": f"{__name__}.Fixed", "species": None, "cutoff": 5.0, "width": 3}
    assert build_model(config(short_range=fixed), FOUND, trust=[__name__]).species == ["H", "Cl", "Na"]
    with pytest.raises(InputError, match=r"set model.short_range.cutoff=5.0"):
        build_model(config(short_range=fixed | {"cutoff": 4.0}), FOUND, trust=[__name__])


@pytest.mark.parametrize("kind", SHORT_RANGE)
@pytest.mark.parametrize("long_range", [None, Yukawa])
def test_a_checkpoint_is_loaded_where_its_modules_are_trusted(tmp_path, kind, long_range):
    model = model_of(kind, long_range and long_range(strength=3.0), standardize=True).eval()
    path = save(model, tmp_path / "m.ckpt")
    with pytest.raises(InputError, match=r"m\.ckpt: own_models\..*trust=\[own_models\]"):
        load_model(path)
    loaded = load_model(path, trust=["own_models"])
    assert type(loaded.short_range).__name__ == kind
    graph = graph_of(random_atoms())
    for key, value in model(graph).items():
        torch.testing.assert_close(loaded(graph)[key], value, rtol=0, atol=0)
    with pytest.raises(InputError, match="trust"):
        SOGNetCalculator(path)
    atoms = random_atoms()
    atoms.calc = SOGNetCalculator(
        [path, path], trust="own_models", dtype="float64"
    )  # which may add edges up in another order
    in_double = load_model(path, dtype="float64", trust=["own_models"])
    assert atoms.get_potential_energy() == pytest.approx(in_double(graph)["energy"].item(), rel=1e-10)


class Exponential(Radial):
    """A potential with energies of its own and nothing to train."""

    def forward(self, graph):
        features = super().forward(graph)
        return ShortRangeOutput(features, features[:, 0])


def test_a_potential_without_parameters_is_evaluated_and_loaded(tmp_path):
    model = SOGNet(Exponential(SPECIES, CUTOFF)).eval()
    check_rebuilds(model, trust=[__name__])
    loaded = load_model(save(model, tmp_path / "m.ckpt"), dtype="float64", trust=[__name__])
    atoms = random_atoms()
    atoms.calc = SOGNetCalculator(loaded)
    assert np.abs(atoms.get_forces()).max() > 0
    assert atoms.get_potential_energy() == pytest.approx(model(graph_of(atoms))["energy"].item(), abs=1e-4)


class Unkept(Radial):
    def __init__(self, species, cutoff, depth=2):
        super().__init__(species, cutoff)


class Hidden(Radial):
    """A number drawn when it is made: not an argument, a parameter or a buffer."""

    def __init__(self, species, cutoff):
        super().__init__(species, cutoff)
        self.factor = float(torch.rand(()))

    def forward(self, graph):
        return self.factor * super().forward(graph)


class Callback(Radial):
    def __init__(self, species, cutoff, function=abs):
        super().__init__(species, cutoff)
        self.function = function


class Anything(Radial):
    def __init__(self, species, cutoff, **others):
        super().__init__(species, cutoff)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Unkept, "keeps no attribute 'depth'.*add self.depth = depth"),
        (Hidden, "must be an argument, a parameter or a buffer"),
        (Callback, "function is a builtin_function_or_method"),
        (Anything, r"arguments with names.*\*\*others"),
    ],
)
def test_what_could_not_be_loaded_again_is_refused_with_the_remedy(kind, message):
    with pytest.raises(InputError, match=message):
        check_rebuilds(SOGNet(kind(SPECIES, CUTOFF)), trust=[__name__])


class Tabulated(Radial):
    def __init__(self, species, cutoff, table=None):
        super().__init__(species, cutoff)
        self.table = table


class WithBuffer(Radial):
    def __init__(self, species, cutoff, table):
        super().__init__(species, cutoff)
        self.register_buffer("table", table)


class Mode(enum.IntEnum):
    FAST = 1


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Mode.FAST, "table is a Mode"),
        ({Mode.FAST: 1.0}, "a key of .*table is a Mode"),
        ({"class": "cubic"}, "keeps the key 'class' for modules; rename it"),
        (nn.Linear(2, 2), r"table is a torch\.nn\.Linear.*take its settings"),
        (nn.ModuleList([Radial(SPECIES, CUTOFF)]), r"table is a torch\.nn\.ModuleList"),
        ([Radial(SPECIES, CUTOFF)], "table holds modules"),
    ],
)
def test_arguments_that_a_checkpoint_would_not_give_back_are_refused(table, message):
    with pytest.raises(InputError, match=message):
        describe(Tabulated(SPECIES, CUTOFF, table))


def test_tensors_as_arguments_come_back_as_lists():
    with pytest.raises(InputError, match="lists may have been tensors"):
        check_rebuilds(SOGNet(WithBuffer(SPECIES, CUTOFF, torch.ones(3))), trust=[__name__])


def test_plain_arguments_are_in_a_file_what_they_were(tmp_path):
    table = {np.int64(3): np.float32(0.5), ("Na", "Cl"): (1, [2.0, None]), "part": {"on": True}}
    torch.save(describe(Tabulated(SPECIES, CUTOFF, table)), tmp_path / "description.pt")
    found = torch.load(tmp_path / "description.pt", weights_only=True)["table"]
    assert found == {3: 0.5, ("Na", "Cl"): [1, [2.0, None]], "part": {"on": True}}


def test_a_class_of_the_running_script_is_refused():
    class Local(Radial):
        pass

    with pytest.raises(InputError, match="top level of a module"):
        describe(SOGNet(Local(SPECIES, CUTOFF)))


def test_the_check_leaves_random_numbers_and_modes_alone():
    model = small_model().train()
    before = torch.get_rng_state()
    check_rebuilds(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(part.training for part in model.modules())


class Nameless(nn.Module):
    def __init__(self):
        super().__init__()
        self.species, self.cutoff = SPECIES, CUTOFF


class Miscounting(Radial):
    def forward(self, graph):
        return super().forward(graph)[:, :3]


class Detached(Radial):
    def forward(self, graph):
        return super().forward(graph).detach()


class InDouble(Radial):
    def forward(self, graph):
        return super().forward(graph).to(torch.float64 if graph.pos.dtype == torch.float32 else torch.float32)


class WithOneEnergy(Radial):
    def forward(self, graph):
        features = super().forward(graph)
        return ShortRangeOutput(features, features.sum())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Nameless, "no attribute 'n_features'"),
        (lambda: Miscounting(SPECIES, CUTOFF), r"features of shape \(2, 3\).*expected \(2, 8\)"),
        (lambda: InDouble(SPECIES, CUTOFF), "expected the same precision"),
        (lambda: Detached(SPECIES, CUTOFF), "there would be no forces"),
        (lambda: WithOneEnergy(SPECIES, CUTOFF), r"energies of shape \(\).*expected \(2,\)"),
    ],
)
def test_a_module_that_is_no_short_range_model_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        SOGNet(make())


def test_our_models_need_no_trust(tmp_path):
    assert load_model(saved_model(tmp_path / "m.ckpt")).energy_head is not None
