"""Power spectra of series that come frame by frame.

By Wiener and Khinchin the Fourier transform of a correlation function is the mean square of the Fourier amplitudes,

    S(f) = ∫ ⟨x(0)·x(t)⟩ exp(−2πi f t) dt = ⟨|Σ_n w_n x_n exp(−2πi f t_n)|²⟩ Δt / Σ_n w_n²,

averaged over segments of the trajectory with the window w of Hann (P. D. Welch, IEEE Trans. Audio Electroacoust. 15, 70
(1967)).
"""

from collections.abc import Sequence

import numpy as np

from sognet.errors import InputError
from sognet.trajectories.blocks import Blocks
from sognet.trajectories.frames import Frame
from sognet.trajectories.timing import TimeStep

LIGHT = 0.0299792458
"""Speed of light in cm/ps."""

SHORTEST = 8
"""Frames in a segment."""

FASTEST = 4500
"""1/cm, above all vibrations of molecules."""

CHUNK = 10_000_000
"""Numbers that are transformed at once."""


class PowerSpectrum:
    """Power spectra of vectors, summed over groups of them.

    Parameters
    ----------
    name : of the quantity, for messages.
    groups : indices of the vectors of each group.
    n_blocks : for errors.
    resolution : 1/cm, spacing of the wave numbers, which is the inverse length of a segment. A trajectory that is
        shorter is one segment.
    """

    def __init__(self, name: str, groups: Sequence[np.ndarray], n_blocks: int, resolution: float) -> None:
        self.name, self.groups, self.resolution = name, groups, resolution
        self._n_blocks, self._time_step = n_blocks, TimeStep(name)
        self._kept: list[np.ndarray] = []
        self._spectra: Blocks | None = None
        self._n_segments = 0
        self._length = 0

    @property
    def step(self) -> float:
        """Time in ps between two frames."""
        return self._time_step.step

    def add(self, frame: Frame, vectors: np.ndarray) -> None:
        """Take the vectors (n, 3) of a frame."""
        self._time_step.add(frame)
        self._kept.append(np.asarray(vectors, dtype=np.float32))
        if not self._length and self.step > 0:
            self._length = max(SHORTEST, round(1 / (LIGHT * self.step * self.resolution)))
        if len(self._kept) == self._length:
            self._finish_segment()

    def _finish_segment(self) -> None:
        series = np.stack(self._kept)
        self._kept = []
        spectra = self._summed(series)
        if self._spectra is None:
            self._spectra = Blocks(spectra.shape, self._n_blocks)
        self._spectra.add(self._n_segments, spectra)
        self._n_segments += 1

    def _summed(self, series: np.ndarray) -> np.ndarray:
        """Spectra (n_groups, n_frequencies) of vectors (length, n, 3)."""
        size = max(1, CHUNK // (3 * len(series)))
        return np.stack(
            [
                sum(power(series[:, members[k : k + size]], self.step) for k in range(0, len(members), size))
                for members in self.groups
            ]
        )

    def result(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Wave numbers (n,) in 1/cm, spectra and their errors (n_groups, n), the unit squared times ps.

        Raises
        ------
        InputError : there are too few frames.
        """
        if self._spectra is None:
            if len(self._kept) < SHORTEST:
                raise InputError(f"{self.name} needs at least {SHORTEST} frames; analyze a longer trajectory")
            self._length = len(self._kept)
            self._finish_segment()
        wave_numbers = np.fft.rfftfreq(self._length, self.step) / LIGHT
        return wave_numbers, self._spectra.mean, self._spectra.error

    def remarks(self) -> list[str]:
        """Sentences where vibrations may be faster than the frames show, or there are no errors."""
        highest, said = 0.5 / (LIGHT * self.step), []
        if highest < FASTEST:
            shown = f"frames every {1e3 * self.step:.3g} fs show vibrations up to {highest:.0f} 1/cm"
            said.append(f"{self.name}: {shown}, and faster ones at wrong places")
        if self._n_segments == 1:
            spacing = 1 / (LIGHT * self.step * self._length)
            said.append(f"{self.name}: one segment and no errors at {spacing:.3g} 1/cm; set resolution larger")
        return said


def power(series: np.ndarray, step: float) -> np.ndarray:
    """Spectrum (n_frequencies,) of vectors (length, n, 3), summed over vectors and components."""
    length = len(series)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)
    amplitudes = np.fft.rfft(series * window[:, None, None], axis=0)
    return (amplitudes.real**2 + amplitudes.imag**2).sum((1, 2)) * step / (window**2).sum()
