"""H5MD of other programs: their units, fixed intervals, boxes that stay."""

import h5py
import numpy as np
import pytest
from ase import units

from sognet.data.io.readers import iter_frames
from sognet.errors import InputError


@pytest.fixture
def file(tmp_path):
    """Two frames of two atoms in nm, every 10 steps of 2 fs from step 100 on, in a rectangular box that stays."""
    path = tmp_path / "other.h5md"
    with h5py.File(path, "w") as root:
        atoms = root.create_group("particles/water")
        atoms["species"] = [8, 1]
        box = atoms.create_group("box")
        box.attrs.update({"dimension": 3, "boundary": np.array([b"periodic", b"periodic", b"none"])})
        box["edges"] = [1.0, 2.0, 3.0]
        box["edges"].attrs["unit"] = "nm"
        for name, unit in {"position": "nm", "velocity": "nm ps-1", "force": "kJ mol-1 nm-1"}.items():
            group = atoms.create_group(name)
            group["value"] = np.arange(12.0).reshape(2, 2, 3)
            group["value"].attrs["unit"] = unit
            group["step"], group["time"] = 10, 20.0
            group["step"].attrs["offset"], group["time"].attrs["offset"] = 100, 200.0
            group["time"].attrs["unit"] = "fs"
    return path


def test_units_steps_and_boxes_of_other_programs_are_understood(file):
    frames = [atoms for _, atoms in iter_frames(file)]
    assert [frame.info["step"] for frame in frames] == [100, 110]
    assert [frame.info["time_ps"] for frame in frames] == pytest.approx([0.2, 0.22])
    last, values = frames[1], np.arange(6.0, 12.0).reshape(2, 3)
    assert last.get_chemical_symbols() == ["O", "H"]
    assert last.pbc.tolist() == [True, True, False]
    np.testing.assert_allclose(last.cell.array, np.diag([10, 20, 30]))
    np.testing.assert_allclose(last.positions, 10 * values)
    np.testing.assert_allclose(last.get_velocities(), 0.01 * values / units.fs)
    np.testing.assert_allclose(last.get_forces(), 0.1 * values * units.kJ / units.mol)


def test_what_stays_and_another_ending_are_understood(file):
    """Charges of all frames at once; `.h5`, which without the group `h5md` would be DeePMD-kit's."""
    with h5py.File(file, "a") as root:
        root.create_group("h5md").attrs["version"] = [1, 1]
        root["particles/water/charge"] = [-0.5, 0.5]
        root["particles/water/charge"].attrs["unit"] = "e"
    frames = [atoms for _, atoms in iter_frames(file.rename(file.with_suffix(".h5")))]
    assert [frame.get_charges().tolist() for frame in frames] == 2 * [[-0.5, 0.5]]


def test_what_is_not_known_is_named(file):
    with h5py.File(file, "a") as root:
        root["particles/water/velocity/value"].attrs["unit"] = "furlong"
    with pytest.raises(InputError, match=r"/particles/water/velocity/value has the unit furlong, which is not known"):
        list(iter_frames(file))
    with h5py.File(file, "a") as root:
        del root["particles/water/velocity/step"]
        root["particles/water/velocity/step"] = 5
    with pytest.raises(InputError, match="velocity is at other steps than the positions"):
        list(iter_frames(file))
    with h5py.File(file, "a") as root:
        root["particles/water/velocity/step"][...] = 10  # from step 0 on, and the positions from 100
    with pytest.raises(InputError, match="velocity is at other steps than the positions"):
        list(iter_frames(file))
    with h5py.File(file, "a") as root:
        del root["particles/water/species"]
    with pytest.raises(InputError, match=r"/particles/water has no `species`; write the atomic numbers"):
        list(iter_frames(file))
    with h5py.File(file, "a") as root:
        del root["particles"]
    with pytest.raises(InputError, match="no positions in /particles"):
        list(iter_frames(file))


EV, DALTON, AVOGADRO = 1.602176634e-19, 1.66053906660e-27, 6.02214076e23  # in SI


@pytest.mark.parametrize(
    ("name", "unit", "in_si"),
    [
        ("position", "Angstrom", 1e-10),
        ("velocity", "Angstrom fs-1", 1e5),
        ("velocity", "Angstrom ps-1", 1e2),
        ("force", "eV Angstrom-1", EV / 1e-10),
        ("force", "kJ mol-1 Angstrom-1", 1e3 / AVOGADRO / 1e-10),
        ("force", "kcal mol-1 Angstrom-1", 4184.0 / AVOGADRO / 1e-10),
        ("time", "ps", 1e-12),
        ("time", "ns", 1e-9),
    ],
)
def test_every_unit_has_its_size(name, unit, in_si, file):
    """Against the units of the SI; ASE's velocities are in √(eV/u)."""
    with h5py.File(file, "a") as root:
        of_all = "position/time" if name == "time" else f"{name}/value"
        root[f"particles/water/{of_all}"].attrs["unit"] = unit
    _, (_, last) = iter_frames(file)
    ours, values = {
        "position": (1e-10 * last.positions, np.arange(6.0, 12.0).reshape(2, 3)),
        "velocity": (np.sqrt(EV / DALTON) * last.get_velocities(), np.arange(6.0, 12.0).reshape(2, 3)),
        "force": (EV / 1e-10 * last.get_forces(), np.arange(6.0, 12.0).reshape(2, 3)),
        "time": (1e-12 * last.info["time_ps"], 220.0),
    }[name]
    np.testing.assert_allclose(ours, values * in_si, rtol=1e-6)
