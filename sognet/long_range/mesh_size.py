"""Order of the B-splines and number of mesh points along each direction, as the tolerance asks for."""

import math

import numpy as np

from sognet.long_range.mesh_modes import MeshSize

ORDER_AND_OVERSAMPLING = {
    1e-3: (5, 1.35),
    1e-4: (6, 1.35),
    1e-5: (7, 1.35),
    1e-6: (8, 1.5),
    1e-7: (9, 1.5),
    1e-8: (10, 1.5),
    1e-9: (12, 1.35),
}
"""Order and mesh points per half wavelength of the finest mode for each tolerance: errors of the forces are at most
half of it, measured in random triclinic cells with the bandwidths at their start and at their largest."""

FINEST = min(ORDER_AND_OVERSAMPLING)
"""The smallest tolerance that a mesh reaches."""


def choose_mesh(
    cell: np.ndarray, bounds: np.ndarray, tolerance: float, resolution: float, is_open: np.ndarray
) -> MeshSize:
    """Mesh of a cell (3,3) in Å whose modes up to the bounds (3,) are wanted, where the multiplier fades below the
    tolerance at the wave number `resolution` in 1/Å, along open directions (3,) at the bounds.
    """
    order, oversampling = ORDER_AND_OVERSAMPLING[max(t for t in ORDER_AND_OVERSAMPLING if t <= tolerance)]
    lengths = np.sqrt(np.square(cell).sum(1))
    half_waves = np.where(is_open, 2.0 * bounds, resolution / math.pi * lengths)
    wanted = np.ceil(oversampling * half_waves - 1e-9)
    points = [_smooth(max(int(n), 2 * int(m) + 1, order)) for n, m in zip(wanted, bounds, strict=True)]
    return MeshSize((points[1], points[2], points[0]), order)


def _smooth(n: int) -> int:
    """The next number from n on without prime factors above 7, for which FFTs are fast."""
    rest = n
    for factor in (2, 3, 5, 7):
        while rest % factor == 0:
            rest //= factor
    return n if rest == 1 else _smooth(n + 1)
