"""Calculators of ASE as baselines."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.stress import voigt_6_to_full_3x3_stress
from structures import NO_TARGETS, batch_of, saved_model, small_model

from sognet import SOGNetCalculator
from sognet.data import Splits, Structure
from sognet.errors import InputError
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.calculator_baseline import CalculatorBaseline

SPECIES = ["Cu", "Au"]


def metals():
    """Periodic, and not."""
    crystal = bulk("Cu", cubic=True)
    crystal.symbols[0] = "Au"
    cluster = Atoms("Cu2Au", positions=[[0, 0, 0], [2.4, 0, 0], [0.3, 2.5, 0.1]])
    for atoms in (crystal, cluster):
        atoms.rattle(0.05, seed=1)
    return crystal, cluster


class Failing(CalculatorBaseline):
    def make(self, charge):
        raise ValueError("no license")


class Pairs(CalculatorBaseline):
    """One of one's own."""

    def make(self, charge):
        return LennardJones(**self.arguments)


def emt():
    return CalculatorBaseline("ase.calculators.emt.EMT")


def pairs():
    return Pairs("Lennard-Jones", {"sigma": 2.2, "epsilon": 0.4, "rc": 5.0, "smooth": True})


@pytest.mark.parametrize(("baseline", "calculator"), [(emt(), EMT()), (pairs(), pairs().make(0.0))])
def test_the_sum_holds_what_the_calculator_gives(baseline, calculator, tmp_path):
    model, trained = (small_model(species=SPECIES, **s).eval() for s in ({"baseline": baseline}, {}))
    out, without = (m(batch_of(*metals()), energies=True) for m in (model, trained))
    frames = metals()
    for atoms in frames:
        atoms.calc = calculator
    expected = [torch.from_numpy(atoms.get_forces()) for atoms in frames]
    torch.testing.assert_close((out["forces"] - without["forces"]).double(), torch.cat(expected), atol=1e-5, rtol=1e-5)
    energies = torch.tensor([atoms.get_potential_energy() for atoms in frames])
    torch.testing.assert_close((out["energy"] - without["energy"]).float(), energies.float(), atol=1e-5, rtol=1e-5)
    stress = voigt_6_to_full_3x3_stress(frames[0].get_stress())
    np.testing.assert_allclose(out["stress"][0] - without["stress"][0], stress, atol=1e-6)
    np.testing.assert_allclose(out["stress"][1] - without["stress"][1], 0, atol=1e-9)
    made = [Structure.from_atoms(atoms, NO_TARGETS, "made") for atoms in metals()]
    evaluate_baseline(model.baseline, Splits("made", made), tmp_path)
    np.testing.assert_allclose(made[1].baselines[baseline.identity].forces, expected[1], atol=1e-12)


def test_checkpoints_name_it(tmp_path):
    atoms = metals()[0]
    atoms.calc = SOGNetCalculator(saved_model(tmp_path / "best.ckpt", species=SPECIES, baseline=emt()))
    expected = small_model(species=SPECIES, baseline=emt()).eval()(batch_of(atoms))["energy"].item()
    assert atoms.get_potential_energy() == pytest.approx(expected, rel=1e-6)


def test_programs_are_not_run_for_a_stranger():
    with pytest.raises(InputError, match=r"espresso\.Espresso is none of tblite\.ase\.TBLite"):
        CalculatorBaseline("ase.calculators.espresso.Espresso", {"command": "touch harmed"})


def test_mistakes_are_named(tmp_path):
    with pytest.raises(InputError, match=r"calculator\.depth"):
        CalculatorBaseline("ase.calculators.emt.EMT", {"depth": 1})
    silicon = Structure.from_atoms(bulk("Si"), NO_TARGETS, "frame 3")
    with pytest.raises(InputError, match="frame 3: Si, which the baseline does not know"):
        evaluate_baseline(emt(), Splits("made", [silicon]), tmp_path)
    with pytest.raises(InputError, match=r"frame 3: the baseline own fails for Si2 \(no license\); take the frame out"):
        evaluate_baseline(Failing("own"), Splits("made", [silicon]), tmp_path)
    charged = Structure.from_atoms(metals()[1], NO_TARGETS, "frame 4")
    charged.charge = 1.0
    with pytest.raises(InputError, match="frame 4: the total charge is 1 e"):
        evaluate_baseline(emt(), Splits("made", [charged]), tmp_path)


def test_tight_binding_is_one(tmp_path):
    tblite = pytest.importorskip("tblite.ase", reason="needs tblite: pip install 'sognet[quantum]'")
    settings = {"method": "GFN1-xTB", "verbosity": 0}
    baseline = CalculatorBaseline("tblite.ase.TBLite", settings)
    assert baseline.package.startswith("tblite ")
    atoms = molecule("H2O")
    ion = Structure.from_atoms(molecule("OH"), NO_TARGETS, "ion")
    ion.charge = -1.0
    made = [Structure.from_atoms(atoms, NO_TARGETS, "made"), ion]
    evaluate_baseline(baseline, Splits("made", made), tmp_path)
    for structure, charge in zip(made, (0, -1), strict=True):
        atoms = structure.to_atoms()
        atoms.calc = tblite.TBLite(charge=charge, **settings)
        labels = structure.baselines[baseline.identity]
        assert labels.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-5)
        np.testing.assert_allclose(labels.forces, atoms.get_forces(), atol=1e-4)
