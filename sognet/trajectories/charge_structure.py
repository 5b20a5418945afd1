"""Charge structure factor of a periodic system, and whether it screens as a conductor does.

    S(k) = ⟨|Σ_i q_i exp(i k·r_i)|²⟩ / N

over spherical shells of wave vectors. F. H. Stillinger and R. Lovett, J. Chem. Phys. 49, 1991 (1968): in a conductor

    4π N S(k) / (4πε₀ V k_B T k²) → 1 as k → 0;    in an insulator 1 − 1/ε.
"""

import numpy as np
from ase import units

from sognet.errors import InputError
from sognet.long_range import COULOMB_CONSTANT
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.displacement import with_error
from sognet.trajectories.frames import Frame
from sognet.trajectories.results import Curve, Panel, Result

N_MODES = 300
"""Wave vectors, without their opposites, where no largest one is given."""

CHUNK = 1_000_000
"""Atoms times wave vectors at once."""


class ChargeStructure:
    """Charge structure factor.

    Parameters
    ----------
    first : first frame, with charges.
    n_blocks : for errors.
    k_max : 1/Å; None: so that there are about 300 wave vectors.
    """

    def __init__(self, first: Frame, n_blocks: int, k_max: float | None = None) -> None:
        reciprocal = 2 * np.pi * np.linalg.inv(first.cell).T
        limit = k_max or (N_MODES * 12 * np.pi**2 / first.volume) ** (1 / 3)
        self.modes = half_sphere(first.cell, limit)
        if not len(self.modes):
            raise InputError(f"charge_structure: no wave vector within k_max={limit:.3g} 1/Å; set it larger")
        lengths = np.linalg.norm(self.modes @ reciprocal, axis=1)
        shells = np.floor((lengths / lengths.min() - 1) / 0.5 + 1e-6).astype(int)
        _, self._shell = np.unique(shells, return_inverse=True)
        self._sizes = np.bincount(self._shell)
        self.k = np.bincount(self._shell, lengths) / self._sizes
        self._factor = Blocks(self.k.shape, n_blocks)
        self._screening = Blocks(self.k.shape, n_blocks)
        self._temperature = Blocks((), n_blocks)
        self._n_atoms = len(first)

    def add(self, frame: Frame) -> None:
        """Sum the charges of a frame."""
        if frame.charges is None:
            raise InputError(f"{frame.source}: no charges, which earlier frames have")
        squares = np.abs(amplitudes(frame.fractional, frame.charges, self.modes)) ** 2
        k_squared = ((self.modes @ (2 * np.pi * np.linalg.inv(frame.cell).T)) ** 2).sum(1)
        screened = 4 * np.pi * COULOMB_CONSTANT * squares / (frame.volume * k_squared)  # eV
        self._factor.add(frame.index, np.bincount(self._shell, squares) / self._sizes / self._n_atoms)
        self._screening.add(frame.index, np.bincount(self._shell, screened) / self._sizes)
        if frame.temperature is not None:
            self._temperature.add(frame.index, np.asarray(frame.temperature))

    def result(self) -> Result:
        """The structure factor by wave number, and the screening where the temperature is known."""
        values, errors = self._factor.mean, self._factor.error
        panels = [Panel("S", "e²", [Curve("", values, errors)])]
        k = self.k[0]
        sentences = [f"charge structure: S = {with_error(values[0], errors[0])} e² at the smallest k, {k:.3g} 1/Å"]
        numbers = {"smallest k (1/Å)": k, "S (e²)": values[0], "error (e²)": errors[0]}
        temperature = float(self._temperature.mean)
        if temperature > 0:
            thermal = units.kB * temperature
            ratio, error = self._screening.mean / thermal, self._screening.error / thermal
            panels.append(Panel("screening", "", [Curve("", ratio, error)]))
            sentences.append(
                f"screening at the smallest k: {with_error(ratio[0], error[0])} (1 in a conductor, "
                "1 − 1/ε in an insulator, as k goes to 0: Stillinger and Lovett)"
            )
            numbers |= {"screening": ratio[0], "screening error": error[0], "temperature (K)": temperature}
        return Result("k", "1/Å", self.k, panels, sentences, numbers)


def half_sphere(cell: np.ndarray, k_max: float) -> np.ndarray:
    """Integers (n, 3) of the wave vectors up to a length in 1/Å, one of each pair ±k, without zero."""
    largest = np.floor(k_max * np.linalg.norm(cell, axis=1) / (2 * np.pi) + 1e-9).astype(int)
    ranges = [np.arange(-n, n + 1) for n in largest]
    modes = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
    modes = modes[len(modes) // 2 + 1 :]  # of the ordered integers those after zero
    lengths = np.linalg.norm(modes @ (2 * np.pi * np.linalg.inv(cell).T), axis=1)
    return modes[lengths <= k_max * (1 + 1e-9)]


def amplitudes(fractional: np.ndarray, charges: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Σ_j q_j exp(2πi m·f_j) of fractional coordinates (N, 3) for modes (n, 3): (n,) complex."""
    largest = np.abs(modes).max(0)
    factors = [np.exp(2j * np.pi * np.outer(fractional[:, d], np.arange(-n, n + 1))) for d, n in enumerate(largest)]
    sums, step = np.empty(len(modes), dtype=complex), max(1, CHUNK // len(charges))
    for start in range(0, len(modes), step):
        chosen = modes[start : start + step] + largest
        product = factors[0][:, chosen[:, 0]] * factors[1][:, chosen[:, 1]] * factors[2][:, chosen[:, 2]]
        sums[start : start + step] = charges @ product
    return sums
