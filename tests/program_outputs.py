"""Small outputs of electronic-structure programs, in the form in which the programs write them."""

from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.data import atomic_masses
from ase.symbols import symbols2numbers


def _rows(array: np.ndarray, form: str = "{:16.8f}") -> list[str]:
    return [" ".join(form.format(x) for x in row) for row in np.atleast_2d(array)]


def _sorted(atoms: Atoms) -> list[tuple[str, int]]:
    symbols = atoms.get_chemical_symbols()
    return [(s, symbols.count(s)) for s in dict.fromkeys(symbols)]


def write_outcar(path: Path, frames: list[Atoms], finished: bool = True) -> Path:
    """VASP's OUTCAR; atoms must be grouped by element. Stress in kB: XX YY ZZ XY YZ ZX."""
    kinds = _sorted(frames[0])
    lines = [f" POTCAR:    PAW_PBE {s} 01Jan2000" for s, _ in kinds] * 2
    lines += ["   ISPIN  =      1    spin polarized calculation?"]
    lines += ["   ions per type =         " + " ".join(f"{n:3d}" for _, n in kinds)]
    lines += ["   k-points       NKPTS =      1   k-points in BZ     NKDIM =      1  number of bands    NBANDS=    4"]
    lines += [" k-points in reciprocal lattice and weights: Gamma", "  0.00000000  0.00000000  0.00000000   1.000"]
    for step, atoms in enumerate(frames, start=1):
        energy = atoms.info["energy"]
        lines += [f"----- Iteration {step:6d}(   1)  -----"]
        xx, yy, zz, yz, xz, xy = np.asarray(atoms.info["stress"]) / (-0.1 * units.GPa)
        lines += ["  in kB  " + " ".join(f"{s:14.8f}" for s in (xx, yy, zz, xy, yz, xz))]
        lines += ["      direct lattice vectors                 reciprocal lattice vectors"]
        lines += [a + " " + b for a, b in zip(_rows(atoms.cell.array), _rows(atoms.cell.reciprocal()), strict=True)]
        lines += [" POSITION                                       TOTAL-FORCE (eV/Angst)", " -----"]
        lines += [*_rows(np.hstack([atoms.positions, atoms.arrays["forces"]])), " -----"]
        lines += ["  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", "  -----"]
        lines += [f"  free  energy   TOTEN  =  {energy - 0.5:20.8f} eV", ""]
        lines += [f"  energy  without entropy= {energy + 0.5:18.8f}  energy(sigma->0) = {energy:18.8f}"]
    lines += [" General timing and accounting informations for this job:"] if finished else []
    path.write_text("\n".join(lines) + "\n")
    return path


def write_vasprun(path: Path, frames: list[Atoms], finished: bool = True) -> Path:
    """VASP's vasprun.xml."""

    def vectors(name: str, array: np.ndarray) -> str:
        return f'<varray name="{name}">' + "".join(f"<v>{r}</v>" for r in _rows(array)) + "</varray>"

    def structure(atoms: Atoms, name: str = "") -> str:
        cell = f"<crystal>{vectors('basis', atoms.cell.array)}</crystal>"
        return f"<structure{name}>{cell}{vectors('positions', atoms.get_scaled_positions(wrap=False))}</structure>"

    rows = "".join(f"<rc><c>{s}</c><c>1</c></rc>" for s in frames[0].get_chemical_symbols())
    text = [
        '<?xml version="1.0"?><modeling>',
        '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray></kpoints>',
        f'<atominfo><array name="atoms"><set>{rows}</set></array></atominfo>',
        structure(frames[0], ' name="initialpos"'),
    ]
    for atoms in frames:
        xx, yy, zz, yz, xz, xy = np.asarray(atoms.info["stress"]) / (-0.1 * units.GPa)
        energies = "<energy>" + "".join(
            f'<i name="{n}">{atoms.info["energy"] + d:.8f}</i>'
            for n, d in (("e_fr_energy", -0.5), ("e_wo_entrp", 0.5), ("e_0_energy", 0.0))
        )
        text.append(
            f"<calculation><scstep>{energies}</energy></scstep>{structure(atoms)}"
            f"{vectors('forces', atoms.arrays['forces'])}"
            f"{vectors('stress', np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]))}"
            f"{energies}</energy></calculation>"
        )
    path.write_text("\n".join(text + (["</modeling>"] if finished else [])) + "\n")
    return path


def write_gaussian(path: Path, frames: list[Atoms], finished: bool = True) -> Path:
    """Gaussian's log: positions in the input orientation, energy in Hartree, forces in Hartree/Bohr."""
    lines = [" Entering Gaussian System, Link 0=g16"]
    for atoms in frames:
        lines += ["                          Input orientation:", " -----", " Center     Atomic      Atomic"]
        lines += [" Number     Number       Type             X           Y           Z", " -----"]
        rows = zip(atoms.numbers, _rows(atoms.positions), strict=True)
        lines += [f"{i:7d}{z:11d}{0:12d}    {r}" for i, (z, r) in enumerate(rows, start=1)]
        lines += [" -----", f" SCF Done:  E(RB3LYP) = {atoms.info['energy'] / units.Hartree:.12f} A.U. after 9 cycles"]
        lines += [" Center     Atomic                   Forces (Hartrees/Bohr)"]
        lines += [" Number     Number              X              Y              Z", " -----"]
        forces = _rows(atoms.arrays["forces"] * units.Bohr / units.Hartree, "{:16.9f}")
        rows = zip(atoms.numbers, forces, strict=True)
        lines += [*(f"{i:7d}{z:9d}    {r}" for i, (z, r) in enumerate(rows, start=1)), " -----"]
    lines += [" Normal termination of Gaussian 16"] if finished else []
    path.write_text("\n".join(lines) + "\n")
    return path


def write_cp2k(path: Path, atoms: Atoms, finished: bool = True, converged: bool = True) -> Path:
    """CP2K's output of RUN_TYPE ENERGY_FORCE with forces printed."""
    kinds = [s for s, _ in _sorted(atoms)]
    lines = [" DBCSR| Multiplication driver                          BLAS"]
    lines += [" CP2K| version string:                       CP2K version 2023.1"]
    for name, vector in zip("abc", atoms.cell.array, strict=True):
        length = np.linalg.norm(vector)
        lines += [f" CELL| Vector {name} [angstrom]: {_rows(vector)[0]}   |{name}| = {length:11.6f}"]
    lines += [f"  {k}. Atomic kind: {s}      Number of atoms: 1" for k, s in enumerate(kinds, start=1)]
    lines += [" MODULE QUICKSTEP: ATOMIC COORDINATES IN ANGSTROM", ""]
    lines += ["  Atom  Kind  Element         X             Y             Z       Z(eff)     Mass", ""]
    symbols = atoms.get_chemical_symbols()
    for i, (s, r) in enumerate(zip(symbols, _rows(atoms.positions), strict=True), start=1):
        z = symbols2numbers(s)[0]
        lines += [f"{i:7d}{kinds.index(s) + 1:6d} {s:2s} {z:5d} {r} {z:10.4f} {atomic_masses[z]:10.4f}"]
    lines += ["", f"  *** SCF run {'converged' if converged else 'NOT converged'} in    10 steps ***", ""]
    lines += [f" ENERGY| Total FORCE_EVAL ( QS ) energy [a.u.]: {atoms.info['energy'] / units.Hartree:25.14f}", ""]
    lines += [" ATOMIC FORCES in [a.u.]", "", " # Atom   Kind   Element          X              Y              Z"]
    forces = _rows(atoms.arrays["forces"] * units.Bohr / units.Hartree, "{:16.10f}")
    for i, (s, r) in enumerate(zip(symbols, forces, strict=True), start=1):
        lines += [f"{i:7d}{kinds.index(s) + 1:6d}      {s:2s}      {r}"]
    lines += [" SUM OF ATOMIC FORCES      0.0  0.0  0.0     0.0", ""]
    lines += ["  **** **** ******  **  PROGRAM ENDED AT          2023-01-01 00:00:00.000"] if finished else []
    path.write_text("\n".join(lines) + "\n")
    return path
