"""Files of predictions hold what the input held."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.stress import voigt_6_to_full_3x3_stress
from structures import labelled_atoms, small_model

from sognet.analysis.predictions import Prediction, predict, write_predictions
from sognet.data import Keys, Structure


def written(atoms: Atoms, keys: Keys, folder, **values) -> Atoms:
    """A prediction of a structure as it is read again."""
    structure = Structure.from_atoms(atoms, keys, "test")
    settings = {
        "energy": -1.5,
        "energy_short_range": -1.0,
        "energy_long_range": -0.5,
        "latent": np.ones((len(atoms), 2)),
    }
    prediction = Prediction(structure, **settings | values)
    write(folder / "p.extxyz", prediction.to_atoms(), format="extxyz")
    return read(folder / "p.extxyz")


def test_values_per_structure_and_atom_are_kept(tmp_path):
    atoms = labelled_atoms(6)
    info = {
        "config_type": "bulk",
        "converged": True,
        "numbers_of": [1, 2, 3],
        "nested": {"a": [1, 2]},
        "step": 7,
        "vector": np.array([1.0, 2.0, 4.0]),
    }
    atoms.info |= info | {"unwritable": object(), "nothing": None}
    arrays = {
        "residue": np.array(["A", "B", "C", "D", "E", "F"]),
        "names": np.array(["a", "b", "c", "d", "e", "f"], dtype=object),
        "tags": np.arange(6),
        "counts": np.arange(6, dtype=np.uint32),
        "fixed": np.arange(6) > 2,
        "momenta": np.random.default_rng(0).normal(size=(6, 3)),
    }
    for name, values in arrays.items():
        atoms.arrays[name] = values
    atoms.arrays["tensor"] = np.zeros((6, 3, 3))
    back = written(atoms, Keys(), tmp_path)
    for name, value in info.items():
        np.testing.assert_array_equal(back.info[name], value, err_msg=name)
    for name, values in arrays.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(back.arrays[name], values, atol=1e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(back.arrays[name], values, err_msg=name)
    assert not {"unwritable", "nothing"} & set(back.info)
    assert "tensor" not in back.arrays


def test_predictions_and_references_have_names_of_their_own(tmp_path):
    atoms = labelled_atoms(6)
    energy, forces = atoms.info.pop("energy"), atoms.arrays.pop("forces")
    reference = Structure.from_atoms(atoms, Keys(energy=None, forces=None), "test").stress
    results = {"energy": energy, "free_energy": energy - 1.0, "forces": forces, "dipole": np.ones(3)}
    atoms.calc = SinglePointCalculator(atoms, **results)
    back = written(
        atoms, Keys(), tmp_path, forces=np.full((6, 3), 0.5), stress=np.eye(3),
        energy_uncertainty=0.25, forces_uncertainty=np.full(6, 0.125),
    )  # fmt: skip
    assert back.get_potential_energy() == -1.5
    assert back.get_potential_energy(force_consistent=False) == -1.5
    assert "free_energy" not in back.calc.results
    np.testing.assert_allclose(back.get_forces(), 0.5)
    np.testing.assert_allclose(back.get_stress(voigt=False), np.eye(3))
    assert back.info["reference_energy"] == pytest.approx(energy)
    assert back.info["reference_free_energy"] == pytest.approx(energy - 1.0)
    assert back.info["reference_stress"].shape == (6,)
    np.testing.assert_allclose(voigt_6_to_full_3x3_stress(back.info["reference_stress"]), reference)
    assert "_JSON" not in (tmp_path / "p.extxyz").read_text()
    np.testing.assert_allclose(back.arrays["reference_forces"], forces, atol=1e-7)
    assert back.info["energy_uncertainty"] == 0.25
    np.testing.assert_allclose(back.arrays["forces_uncertainty"], 0.125)


def test_stress_is_written_where_it_has_a_meaning(tmp_path):
    back = written(labelled_atoms(6, pbc=False), Keys(stress=None), tmp_path, stress=np.eye(3))
    assert "stress" not in back.info
    assert "stress" not in back.calc.results
    assert np.size(back.info["reference_stress"]) == 6


def test_the_parts_of_the_energy_add_up(tmp_path):
    model = small_model(reference_energies={"Na": -1234.5, "Cl": -12.25})
    structures = [Structure.from_atoms(labelled_atoms(n, seed=n), Keys(), f"{n}") for n in (5, 6)]
    predictions = list(predict(model, structures))
    write_predictions(tmp_path / "predictions.extxyz", predictions, ["train", "test"])
    for atoms in read(tmp_path / "predictions.extxyz", ":"):
        parts = [atoms.info[f"energy_{part}"] for part in ("of_atoms", "short_range", "long_range")]
        assert sum(parts) == pytest.approx(atoms.get_potential_energy(), abs=1e-6)
        n_sodium = int((atoms.numbers == 11).sum())
        assert parts[0] == pytest.approx(-1234.5 * n_sodium - 12.25 * (len(atoms) - n_sodium), abs=1e-6)
