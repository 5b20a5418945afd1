"""Dielectric constant of a periodic system of neutral molecules, from the fluctuations of its dipole.

    ε = 1 + (⟨M²⟩ − ⟨M⟩²) / (3 ε₀ V k_B T),    M = Σ_i q_i r_i,

with conducting boundary conditions, as a reciprocal sum without its zero mode has them (S. W. de Leeuw, J. W. Perram
and E. R. Smith, Proc. R. Soc. A 373, 27 (1980)).
"""

from collections.abc import Mapping

import numpy as np
from ase import units

from sognet.errors import InputError
from sognet.long_range import COULOMB_CONSTANT
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.displacement import with_error
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Result


class DielectricConstant:
    """Dielectric constant from fixed charges.

    Parameters
    ----------
    first : first frame.
    n_blocks : for errors.

    Raises
    ------
    InputError : the charges do not add up to zero.
    """

    def __init__(self, first: Frame, n_blocks: int) -> None:
        if abs(total := first.charges.sum()) > 1e-6 * np.abs(first.charges).sum():
            raise InputError(
                f"{first.source}: dielectric needs a neutral system, and its charges add up to {total:.3g} e"
            )
        self._origin = first.positions  # fluctuations do not depend on it
        self._moments = Blocks((6,), n_blocks)  # components of M and of M²
        self._state = Blocks((2,), n_blocks)  # volume in Å³, temperature in K

    def add(self, frame: Frame) -> None:
        """Take the dipole of a frame."""
        if frame.temperature is None:
            raise InputError(f"{frame.source}: dielectric needs velocities or temperature=<K>")
        dipole = frame.charges @ (frame.positions - self._origin)
        self._moments.add(frame.index, np.concatenate([dipole, dipole**2]))
        self._state.add(frame.index, np.array([frame.volume, frame.temperature]))

    def result(self) -> Result:
        """The dielectric constant with its error by the jackknife over blocks."""
        volume, temperature = self._state.mean
        scale = 4 * np.pi * COULOMB_CONSTANT / (3 * volume * units.kB * temperature)
        value = 1 + scale * float(fluctuation(self._moments.mean))
        blocks = self._moments.block_means
        blocks = blocks[np.isfinite(blocks).all(1)]  # without a last one that is not half full
        n = len(blocks)
        if n < 2:
            raise InputError("dielectric needs at least two frames; analyze a longer trajectory")
        without = np.array([fluctuation(np.delete(blocks, k, axis=0).mean(0)) for k in range(n)])
        error = float(scale * np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum()))
        sentence = f"dielectric constant: {with_error(value, error)} at {temperature:.0f} K, if molecules stay whole"
        numbers = {"dielectric constant": value, "error": error, "temperature (K)": temperature}
        return Result(sentences=[sentence], numbers=numbers)


def fluctuation(moments: np.ndarray) -> float:
    """⟨M²⟩ − ⟨M⟩² of the means (6,) of the components of M and of M²."""
    return float((moments[3:] - moments[:3] ** 2).sum())


def lacks_dipole(first: Frame, charges: object) -> str:
    """What a trajectory lacks for its dielectric constant; empty: nothing."""
    if not first.pbc.all():
        return "three periodic directions"
    if first.temperature is None:
        return "velocities (momenta in the file), or temperature=<K>"
    return "" if isinstance(charges, Mapping) else "fixed charges by element, charges={O: -0.8476, H: 0.4238}"
