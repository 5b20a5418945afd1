"""Extended XYZ as people write it is read, or refused with the reason."""

import numpy as np
import pytest

from sognet.data import Keys, Units, read_structures
from sognet.errors import InputError

STRESS = {"xx": 0.1, "yy": 0.2, "zz": 0.3, "yz": 0.01, "xz": 0.02, "xy": 0.03}
FULL = np.array([[0.1, 0.03, 0.02], [0.03, 0.2, 0.01], [0.02, 0.01, 0.3]])
VOIGT, VASP = ["xx", "yy", "zz", "yz", "xz", "xy"], ["xx", "yy", "zz", "xy", "yz", "xz"]


def frame(labels=("Cu", "Au"), further="", energy="-1.5", force="0.25", first=""):
    rows = [f"{label} {x}.0 0.0 0.0 {force} 0.0 0.0" for label, x in zip(labels, (0, 2), strict=True)]
    comment = (
        f'Lattice="5 0 0 0 5 0 0 0 4" Properties=species:S:1:pos:R:3:forces:R:3 energy={energy} {further} pbc="T T T"'
    )
    return first + "\n".join(["2", comment, *rows]) + "\n"


def read(tmp_path, text, keys=None, units=None):
    path = tmp_path / "a.xyz"
    path.write_text(text, encoding="utf-8")
    (structure,) = read_structures(path, keys, units=units)
    return structure


@pytest.mark.parametrize(
    "text",
    [
        frame(first="\ufeff"),
        frame(energy="-1.5D+00", force="2.5d-01"),
        frame(labels=("Cu1", "Au_pv")),
        frame(labels=("Cu+2", "Au-1")),
    ],
    ids=["mark", "exponents", "labels", "charges"],
)
def test_variants_are_read_as_what_they_say(tmp_path, text):
    structure = read(tmp_path, text)
    assert structure.numbers.tolist() == [29, 79]
    assert structure.energy == -1.5
    np.testing.assert_array_equal(structure.forces, [[0.25, 0, 0]] * 2)
    np.testing.assert_array_equal(structure.positions, [[0, 0, 0], [2, 0, 0]])


def test_labels_that_are_read_as_elements_are_said(tmp_path, caplog):
    assert read(tmp_path, frame(labels=("D", "Cu1"))).numbers.tolist() == [1, 29]
    assert "Cu1 as Cu, D as H" in caplog.text


def test_a_label_that_names_no_element_is_the_reason(tmp_path):
    with pytest.raises(InputError, match="'Qq1' names no element"):
        read(tmp_path, frame(labels=("Qq1", "Au")))


@pytest.mark.parametrize(("order", "name"), [(VOIGT, "voigt"), (VASP, "vasp")])
@pytest.mark.parametrize("key", ["stress", "REF_stress"])
def test_six_values_in_either_order(tmp_path, order, name, key):
    six = " ".join(str(STRESS[c]) for c in order)
    structure = read(tmp_path, frame(further=f'{key}="{six}"'), Keys(stress=key, stress_order=name))
    np.testing.assert_allclose(structure.stress, FULL)
    assert read(tmp_path, frame(further=f'{key}="{six}"'), Keys(stress=None)).stress is None


def test_stress_of_vasp_and_virials_are_that_of_ase(tmp_path):
    kbar = " ".join(str(-1602.1766208 * STRESS[c]) for c in VASP)
    units = Units(stress="kbar", stress_sign=-1)
    structure = read(tmp_path, frame(further=f'stress="{kbar}"'), Keys(stress_order="vasp"), units)
    np.testing.assert_allclose(structure.stress, FULL, rtol=1e-6)
    virial = " ".join(str(-100.0 * v) for v in FULL.ravel())  # eV, of a cell of 100 Å³
    for key in ("virial", "REF_virial"):
        structure = read(tmp_path, frame(further=f'{key}="{virial}"'), Keys(virial=key), Units(stress="GPa"))
        np.testing.assert_allclose(structure.stress, FULL)
    six = " ".join(str(-100.0 * STRESS[c]) for c in VOIGT)
    np.testing.assert_allclose(read(tmp_path, frame(further=f'virial="{six}"'), Keys(virial="virial")).stress, FULL)


@pytest.mark.parametrize("keys", [Keys(virial="w"), Keys(stress="s")])
def test_a_named_key_that_no_structure_has_is_an_error(tmp_path, keys):
    with pytest.raises(InputError, match=r"no structure has `\w`; correct dataset\.(virial|stress)_key"):
        read(tmp_path, frame(), keys)


def test_unknown_signs_and_orders_are_refused():
    with pytest.raises(InputError, match="stress_sign must be 1 or -1"):
        Units(stress_sign=2)
    with pytest.raises(InputError, match="stress_order must be voigt or vasp"):
        Keys(stress_order="xyz")


@pytest.mark.parametrize("energy", ["{-1.5}", "[-1.5]"])
def test_an_energy_in_a_list_of_one_is_a_number(tmp_path, energy):
    assert read(tmp_path, frame(energy=energy)).energy == -1.5


def test_a_stress_that_contradicts_the_virial_is_refused_with_both_values(tmp_path):
    """stress_sign applies to both, so that one of VASP's sign beside a virial of ASE's is found as well."""
    keys = Keys(virial="virial")

    def both(stress, virial):  # of a cell of 100 Å³
        values = {"stress": np.asarray(stress), "virial": np.asarray(virial)}
        return frame(further=" ".join(f'{k}="{" ".join(map(str, v.ravel()))}"' for k, v in values.items()))

    rounded = np.round(-100.0 * FULL, 2)
    np.testing.assert_allclose(read(tmp_path, both(FULL, rounded), keys).stress, FULL, atol=1e-3)
    for wrong in (-FULL, FULL * 160.2):
        with pytest.raises(
            InputError, match=r"frame 0: `stress` and `virial` contradict.*dataset\.stress_key=null"
        ) as e:
            read(tmp_path, both(wrong, -100.0 * FULL), keys)
        assert f"{np.abs(FULL).max():.3g}"[:3] in str(e.value)
    read(tmp_path, both(-FULL, -100.0 * FULL), Keys(virial="virial", stress=None))
    read(tmp_path, both(-FULL, -100.0 * FULL), Keys())
