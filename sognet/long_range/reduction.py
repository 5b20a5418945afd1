"""Fewer Gaussians for a trained kernel: model reduction of [SOG-Net].

With K = k² the multiplier Σ_l w_l exp(−K/s_l²) is the impulse response of a linear system with the poles −1/s_l².
Balanced truncation (B. C. Moore, IEEE Trans. Autom. Control 26, 17 (1981)) says which shorter system is closest to it.
Its poles are where a least-squares fit of bandwidths and weights starts, which holds the error where modes are.
"""

import numpy as np
import torch
from scipy.optimize import least_squares

from sognet.long_range.multiplier import SumOfGaussians

N_WAVE_NUMBERS = 400

CANCELLATION = 10.0
"""Largest sum of |terms| over the largest value of their sum, unless that of the kernel is larger: Gaussians that
cancel leave float32 no digits."""


UNSEEN = 1e-14
"""What a Gaussian may have at the smallest wave number, over its maximum."""


def reduce_kernel(
    kernel: SumOfGaussians, tolerance: float = 1e-4, box_length: float | None = None, keep_self: bool = False
) -> tuple[SumOfGaussians, np.ndarray]:
    """Kernel of as few Gaussians as the tolerance allows, and the change of each channel's multiplier (n_channels,).

    The change is the largest difference of k²ĝ(k) over the largest |k²ĝ(k)|: k²ĝ is what a shell of modes contributes,
    constant for Coulomb's law.

    Parameters
    ----------
    kernel : the trained kernel.
    tolerance : of the change.
    box_length : longest period, or twice the longest extent, of the structures it will be used for, in Å: Gaussians
        that no mode of these sees are dropped. None: any.
    keep_self : with a box, keep g(0) by one more Gaussian that no mode sees: layers that remove the self-interaction
        take ½ g(0) Σ q² off, of Gaussians that no mode sees as well.

    Raises
    ------
    ValueError : the tolerance is not between 0 and 1, or the length not positive.
    """
    if not 0 < tolerance < 1 or (box_length is not None and not box_length > 0):
        raise ValueError(f"need 0 < tolerance < 1 and a positive box length, got {tolerance} and {box_length}")
    weights = kernel.weights.detach().cpu().double().numpy()
    bandwidths = kernel.bandwidths.detach().cpu().double().numpy()
    first = 0.02 * bandwidths.min() if box_length is None else 2 * np.pi / box_length
    k = np.geomspace(first, max(kernel.k_cut(1e-8), 2 * first), N_WAVE_NUMBERS)
    keep_self = keep_self and box_length is not None
    for n in range(1, kernel.n_gaussians - int(keep_self)):
        fits = [_fitted(k, w, s, n, kernel.max_bandwidth) for w, s in zip(weights, bandwidths, strict=True)]
        changes = np.array([fit[2] for fit in fits])
        if (changes <= tolerance).all():
            found = [np.stack([fit[i] for fit in fits]) for i in range(2)]
            if keep_self:
                found = _with_unseen(*found, at_zero(weights, bandwidths), first)
            tensors = (torch.from_numpy(x) for x in found)
            shorter = SumOfGaussians(*tensors, kernel.max_bandwidth, kernel.trainable)
            return shorter.to(kernel.relative_weights), changes
    return kernel, np.zeros(len(weights))


def at_zero(weights: np.ndarray, bandwidths: np.ndarray) -> np.ndarray:
    """g(0) of each channel (n_channels,)."""
    return (weights * (bandwidths / (2 * np.sqrt(np.pi))) ** 3).sum(1)


def _with_unseen(
    weights: np.ndarray, bandwidths: np.ndarray, wanted: np.ndarray, first: float
) -> tuple[np.ndarray, np.ndarray]:
    """One Gaussian more, below UNSEEN at the smallest wave number, with which g(0) is the wanted one."""
    width = first / np.sqrt(-np.log(UNSEEN))
    missing = (wanted - at_zero(weights, bandwidths)) * (2 * np.sqrt(np.pi) / width) ** 3
    column = np.full((len(weights), 1), width)
    return np.concatenate([weights, missing[:, None]], 1), np.concatenate([bandwidths, column], 1)


def balanced_truncation(weights: np.ndarray, decays: np.ndarray, n: int) -> np.ndarray:
    """Decays (n,) of the system of n poles closest to Σ_l w_l exp(−c_l K), c (M,); complex ones may come out where
    weights have both signs.
    """
    b = np.sqrt(np.abs(weights))
    c = np.sign(weights) * b
    sums = decays[:, None] + decays
    # of Cauchy matrices; both Gramians have the same factor but for the signs
    values, vectors = np.linalg.eigh(b[:, None] * b / sums)
    factor = vectors * np.sqrt(np.clip(values, 0, None))  # P = factor factorᵀ
    other = np.sign(c)[:, None] * factor  # Q = other otherᵀ
    left, singular, right = np.linalg.svd(other.T @ factor)
    kept = singular[:n] ** -0.5
    project = (other @ left[:, :n]) * kept  # Wᵀ A V is the reduced system
    lift = (factor @ right[:n].T) * kept
    return np.linalg.eigvals(project.T @ (decays[:, None] * lift))


def _fitted(
    k: np.ndarray, weights: np.ndarray, bandwidths: np.ndarray, n: int, max_bandwidth: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights and bandwidths (n,) of the closest shorter sum, and its change."""
    wanted = k**2 * (np.exp(-((k[:, None] / bandwidths) ** 2)) @ weights)
    scale = np.abs(wanted).max()
    given = np.abs(k[:, None] ** 2 * np.exp(-((k[:, None] / bandwidths) ** 2)) * weights).sum(1).max()
    if scale == 0:
        return np.zeros(n), np.full(n, bandwidths.max()), 0.0
    bounds = np.log(k[0] / 10), np.log(0.999 * max_bandwidth)

    def terms(logarithms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Each Gaussian times k² (n_k, n), of largest value one, and the weights that fit best."""
        found = k[:, None] ** 2 * np.exp(-((k[:, None] / np.exp(logarithms)) ** 2))
        found = found / np.clip(found.max(0), 1e-300, None)
        return found, np.linalg.lstsq(found, wanted / scale, rcond=1e-12)[0]

    def misfit(logarithms: np.ndarray) -> np.ndarray:
        found, factors = terms(logarithms)
        return found @ factors - wanted / scale

    best = None
    for start in _starts(k, weights, bandwidths, n, bounds):
        solution = least_squares(misfit, start, bounds=bounds, xtol=1e-10, ftol=1e-10, max_nfev=200).x
        found, factors = terms(solution)
        change = np.abs(found @ factors - wanted / scale).max()
        if np.abs(found * factors).sum(1).max() > max(CANCELLATION, given / scale):
            change = np.inf
        if best is None or change < best[2]:
            height = np.clip((k[:, None] ** 2 * np.exp(-((k[:, None] / np.exp(solution)) ** 2))).max(0), 1e-300, None)
            best = factors * scale / height, np.exp(solution), float(change)
    return best


def _starts(
    k: np.ndarray, weights: np.ndarray, bandwidths: np.ndarray, n: int, bounds: tuple[float, float]
) -> list[np.ndarray]:
    """Logarithms of bandwidths (n,) from which fits start."""
    lowest, highest = (np.clip(x, *bounds) for x in (np.log(max(bandwidths.min(), k[0])), np.log(bandwidths.max())))
    starts = [np.linspace(lowest, highest, n) if n > 1 else np.array([highest])]
    seen = weights * np.exp(-((k[0] / bandwidths) ** 2))
    kept = np.abs(seen) > 1e-14 * np.abs(seen).max()
    if kept.sum() >= n:
        decays = balanced_truncation(seen[kept], bandwidths[kept] ** -2.0, n)
        if np.isrealobj(decays) and (decays > 0).all():
            starts.append(np.clip(-0.5 * np.log(np.sort(decays)), *bounds))
    margin = 1e-6 * (bounds[1] - bounds[0])
    return [np.clip(start, bounds[0] + margin, bounds[1] - margin) for start in starts]
