"""Vibrational density of states: the power spectrum of the velocities, weighted by mass.

    D_A(ν) = 3 Σ_{i∈A} m_i S_i(ν) / ∫₀^∞ Σ_i m_i S_i(ν) dν,

so that all elements together have three vibrations per atom. D(0) is proportional to the diffusion.
"""

import numpy as np
from ase.data import chemical_symbols

from sognet.errors import InputError
from sognet.trajectories.frames import Frame
from sognet.trajectories.power_spectrum import PowerSpectrum
from sognet.trajectories.results import Curve, Panel, Result


class Vibrations:
    """Vibrational density of states by element.

    Parameters
    ----------
    first : first frame, with velocities.
    n_blocks : for errors.
    resolution : 1/cm.
    """

    def __init__(self, first: Frame, n_blocks: int, resolution: float = 10.0) -> None:
        symbols = np.array([chemical_symbols[z] for z in first.numbers])
        self.elements = list(dict.fromkeys(symbols.tolist()))
        groups = [np.flatnonzero(symbols == element) for element in self.elements]
        self._spectrum = PowerSpectrum("vibrations", groups, n_blocks, resolution)

    def add(self, frame: Frame) -> None:
        """Take the velocities of a frame."""
        velocities = relative_velocities(frame, "vibrations")
        self._spectrum.add(frame, np.sqrt(frame.masses)[:, None] * velocities)

    def result(self) -> Result:
        """Density of states of each element and of all."""
        wave_numbers, spectra, errors = self._spectrum.result()
        if not spectra.any():
            raise InputError("vibrations: all velocities are zero")
        total = spectra.sum(0)
        factor = 3 / ((total.sum() - 0.5 * (total[0] + total[-1])) * wave_numbers[1])
        curves = [Curve(e, factor * spectra[k], factor * errors[k]) for k, e in enumerate(self.elements)]
        panel = Panel("density of states", "cm", curves)
        return Result("wave number", "1/cm", wave_numbers, [panel], self._spectrum.remarks())


def relative_velocities(frame: Frame, name: str) -> np.ndarray:
    """Velocities (N, 3) in Å/ps relative to the centre of mass."""
    if frame.velocities is None:
        raise InputError(f"{frame.source}: {name} needs velocities, and this frame has no momenta")
    return frame.velocities - frame.masses @ frame.velocities / frame.masses.sum()
