"""Stress against the scale of solids, and against what energies and volumes say of it."""

from collections.abc import Iterator, Sequence

import numpy as np
from ase import units

from sognet.data.inspection.stress_work import bulk_modulus, energy_over_work, volume, volumes_vary
from sognet.data.structure import Structure

LARGE = 0.6  # eV/Å³ (100 GPa), rms of a component that is beyond most bulk moduli
PLAUSIBLE = (0.6, 1.6)  # of energy differences over the work of the stress

KBAR, GPA = 0.1 * units.GPa, units.GPa


def stress_warnings(structures: Sequence[Structure]) -> Iterator[str]:
    """Sentences that name what is wrong with the stress of periodic structures, and what to set."""
    labelled = _labelled(structures)
    if not labelled:
        return
    asymmetric = [s for s in labelled if not np.allclose(s.stress, s.stress.T, rtol=1e-3, atol=1e-4)]
    if asymmetric:
        yield f"the stress of {len(asymmetric)} structures is not symmetric ({asymmetric[0].source})"
    rms = float(np.sqrt(np.mean([np.square(s.stress).mean() for s in labelled])))
    causes = {
        "dataset.stress_unit=kbar": KBAR,
        "dataset.stress_unit=GPa": GPA,
        "dataset.virial_key": 1 / float(np.median([volume(s) for s in labelled])),
    }
    slope = energy_over_work(labelled)
    modulus = bulk_modulus(labelled) if slope is None else None
    low, high = PLAUSIBLE
    if slope is not None and not low < abs(slope) < high:
        name = min(causes, key=lambda c: abs(np.log(abs(slope) / causes[c])))
        likely = f"; set {name}" if abs(np.log(abs(slope) / causes[name])) < np.log(2) else "; see dataset.stress_unit"
        natural = -1 if name == "dataset.virial_key" else 1
        sign = ", and dataset.stress_sign=-1" if slope * natural < 0 else ""
        yield (
            f"stress and energies are inconsistent: between cells the energy changes by {slope:.3g} times the work "
            f"of the stress, which should be 1{likely}{sign}"
        )
    elif slope is not None and slope < 0:
        yield (
            "the stress has the wrong sign: the energy falls with the volume where the stress says that it rises; set "
            "dataset.stress_sign=-1"
        )
    elif modulus is not None and modulus < 0 and rms < LARGE:
        yield (
            "the stress has the wrong sign: structures of larger volume are under more pressure, a bulk modulus of "
            f"{modulus / GPA:.0f} GPa; set dataset.stress_sign=-1"
        )
    elif rms > LARGE:
        choices = ", ".join(f"{name} ({factor * rms:.3g} eV/Å³)" for name, factor in causes.items())
        sign = ""
        if modulus is not None:
            sign = "; it rises with the volume, as a stress in ASE's sign does"
            if modulus < 0:
                sign = "; it falls as the volume rises: a virial, or a unit together with dataset.stress_sign=-1"
        yield (
            f"stress is large, rms {rms:.3g} eV/Å³ or {rms / GPA:.3g} GPa, where 0.001 to 0.1 eV/Å³ are usual: another "
            f"unit or a virial? With {choices}{sign}"
        )


def stress_notes(structures: Sequence[Structure]) -> Iterator[str]:
    """What cannot be checked of the stress, and why."""
    labelled = _labelled(structures)
    if labelled and energy_over_work(labelled) is None and bulk_modulus(labelled) is None:
        reason = "volumes do not vary within a composition"
        if volumes_vary(labelled):
            reason = "energies and stresses do not follow the volume clearly enough"
        yield f"the sign of the stress cannot be checked: {reason}; ASE's is positive under tension"


def _labelled(structures: Sequence[Structure]) -> list[Structure]:
    return [s for s in structures if s.stress is not None and s.pbc.all()]
