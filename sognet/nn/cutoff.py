"""Functions that take a radial function smoothly to zero at a cutoff."""

from torch import Tensor


def smooth_step(distance: Tensor, onset: float, cutoff: float) -> Tensor:
    """soft(r) of [SOG-Net], S2: 1 below the onset, −6x⁵ + 15x⁴ − 10x³ + 1 with x = (r − onset)/(cutoff − onset),
    0 beyond the cutoff; twice continuously differentiable. Distances in Å, any shape.
    """
    x = ((distance - onset) / (cutoff - onset)).clamp(0.0, 1.0)
    return 1 - x**3 * (10 - x * (15 - 6 * x))
