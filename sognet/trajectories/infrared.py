"""Infrared absorption from the current of the charges, or from the dipole of a cluster.

Absorption coefficient α times refractive index n of classical nuclei (linear response):

    n(ν) α(ν) = S_J(ν) / (6 ε₀ V c k_B T),    J = dM/dt = Σ_i q_i v_i.

Without three periodic directions there is no volume, and V n α, the cross-section, stands in place.
"""

import numpy as np
from ase import units

from sognet.errors import InputError
from sognet.long_range import COULOMB_CONSTANT
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.frames import Frame
from sognet.trajectories.power_spectrum import LIGHT, PowerSpectrum
from sognet.trajectories.results import Curve, Panel, Result
from sognet.trajectories.vibrations import relative_velocities

PER_CM = 1e8
"""1/cm in 1/Å, and Å/ps in cm/ps."""


class Infrared:
    """Infrared absorption.

    Parameters
    ----------
    first : first frame, with charges and velocities, or a cluster with a dipole.
    n_blocks : for errors.
    resolution : 1/cm.
    """

    def __init__(self, first: Frame, n_blocks: int, resolution: float = 10.0) -> None:
        self.of_dipole = has_dipole(first)
        self.is_bulk = bool(first.pbc.all())
        self._spectrum = PowerSpectrum("infrared", [np.array([0])], n_blocks, resolution)
        self._temperature, self._volume = Blocks((), n_blocks), Blocks((), n_blocks)
        self._before: Frame | None = None

    def add(self, frame: Frame) -> None:
        """Take the current or the dipole of a frame."""
        if frame.temperature is None:
            raise InputError(f"{frame.source}: infrared needs velocities or temperature=<K>")
        self._temperature.add(frame.index, np.asarray(frame.temperature))
        self._volume.add(frame.index, np.asarray(frame.volume))
        if not self.of_dipole:
            if frame.charges is None:
                raise InputError(f"{frame.source}: no charges, which earlier frames have")
            self._spectrum.add(frame, frame.charges[None] @ relative_velocities(frame, "infrared"))
            return
        if frame.dipole is None:
            raise InputError(f"{frame.source}: no dipole, which earlier frames have")
        if self._before is not None:
            self._spectrum.add(frame, (frame.dipole - self._before.dipole)[None])
        self._before = frame

    def result(self) -> Result:
        """Absorption by wave number."""
        wave_numbers, spectra, errors = self._spectrum.result()
        thermal = units.kB * float(self._temperature.mean)
        factor = 4 * np.pi * COULOMB_CONSTANT / (6 * thermal * LIGHT * PER_CM)  # spectrum to Å²
        if self.of_dipole:
            factor = factor * derivative_of_differences(wave_numbers * LIGHT, self._spectrum.step)
        label, unit = "cross-section", "Å²"
        if self.is_bulk:
            factor, label, unit = factor * PER_CM / float(self._volume.mean), "n α", "1/cm"
        panel = Panel(label, unit, [Curve("", (factor * spectra)[0], (factor * errors)[0])])
        return Result("wave number", "1/cm", wave_numbers, [panel], self._spectrum.remarks())


def has_dipole(frame: Frame) -> bool:
    """Whether a frame has a dipole that is defined: in a cluster."""
    return frame.dipole is not None and not frame.pbc.any()


def lacks_current(first: Frame) -> str:
    """What a frame lacks for infrared absorption; empty: nothing."""
    if first.temperature is None:
        return "velocities (momenta in the file), or temperature=<K>"
    if has_dipole(first):
        return ""
    if first.velocities is None:
        return "velocities (momenta in the file)"
    return "" if first.charges is not None else "charges; set charges={Na: 1, Cl: -1} or the name of a column"


def derivative_of_differences(frequencies: np.ndarray, step: float) -> np.ndarray:
    """What the power of differences between frames, at frequencies in 1/ps, is to be multiplied with for the power of
    the derivative by time.
    """
    return 1 / (step * np.sinc(frequencies * step)) ** 2
