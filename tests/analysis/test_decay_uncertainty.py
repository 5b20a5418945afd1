"""What is said of a decay that is known: clusters of charges whose forces are summed pair by pair, with noise."""

import numpy as np
import pytest

from sognet.analysis.decay_forces import ForceColumns
from sognet.analysis.decay_uncertainty import determined_decay
from sognet.long_range.ladder import ladder_widths, slopes

CUTOFF, EXTENT, R_MAX = 5.0, 15.0, 12.0
WIDTHS = ladder_widths(CUTOFF, 2 * EXTENT)


def clusters(n=8, n_atoms=40) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vectors between charges in a cube, no two closer than 2 Å, and the products of their charges."""
    rng, found = np.random.default_rng(0), []
    charges = np.where(np.arange(n_atoms) % 2, 1.0, -1.0)
    for _ in range(n):
        positions = rng.uniform(0, EXTENT, (1, 3))
        while len(positions) < n_atoms:
            new = rng.uniform(0, EXTENT, 3)
            if np.linalg.norm(positions - new, axis=1).min() > 2.0:
                positions = np.vstack([positions, new])
        found.append((positions[:, None] - positions[None], np.outer(charges, charges)))
    return found


CLUSTERS = clusters()


def pair_forces(vectors, products, slope) -> np.ndarray:
    """(3N,) of the pair interaction whose derivative by r is `slope`."""
    distances = np.linalg.norm(vectors, axis=-1)
    np.fill_diagonal(distances, 1.0)
    strength = -products * slope(distances) / distances
    np.fill_diagonal(strength, 0.0)
    return (strength[..., None] * vectors).sum(1).reshape(-1)


def cosine(n):
    def slope(r):
        x = np.minimum(r / CUTOFF, 1.0)
        phase = n * np.pi * x
        return -(n * np.pi * np.sin(phase) * (1 - x) ** 3 + 3 * np.cos(phase) * (1 - x) ** 2) / CUTOFF

    return slope


def columns(slope, noise=0.0, seed=0) -> list[ForceColumns]:
    """Of charges with an interaction, whose short-range part pair functions of unlike and like charges can replace."""
    rng, found = np.random.default_rng(seed), []
    for vectors, products in CLUSTERS:
        wanted = pair_forces(vectors, products, slope)
        gaussians = [
            pair_forces(vectors, products, lambda r, w=w: slopes(np.array([w]), r.ravel())[:, 0].reshape(r.shape))
            for w in WIDTHS
        ]
        others = [
            pair_forces(vectors, of, cosine(n))
            for n in range(6)
            for of in (np.clip(products, 0, 1), products.clip(-1, 0))
        ]
        wanted = wanted + noise * rng.normal(size=wanted.shape)
        found.append(ForceColumns(wanted, wanted, np.stack(gaussians, 1), np.stack(others, 1)))
    return found


def power_law(exponent):
    return lambda r: -exponent * r ** (-exponent - 1)


def determined(found):
    return determined_decay(found, WIDTHS, CUTOFF, R_MAX)


@pytest.mark.parametrize("exponent", [1.0, 3.0])
def test_the_interval_covers_the_truth(exponent):
    """At least as often as its 95 % say, but not because it is endless."""
    clean = columns(power_law(exponent))
    noise = 0.02 * np.std(
        [pair_forces(*c, lambda r: np.where(r > CUTOFF, power_law(exponent)(r), 0)) for c in CLUSTERS]
    )
    covered, widths = 0, []
    rng = np.random.default_rng(1)
    for _ in range(60):
        noisy = [c._replace(wanted=c.wanted + noise * rng.normal(size=c.wanted.shape)) for c in clean]
        found = determined(noisy)
        assert found.status == "found"
        covered += abs(found.exponent - exponent) < found.exponent_uncertainty
        widths.append(found.exponent_uncertainty)
    assert covered >= 54
    assert np.mean(widths) < 0.3 * exponent
    assert found.error == pytest.approx(1000 * noise, rel=0.1)


def test_more_noise_widens_the_interval_until_nothing_is_determined():
    strength = np.std([pair_forces(*c, power_law(1.0)) for c in CLUSTERS])
    quiet, loud, drowned = (determined(columns(power_law(1.0), f * strength)) for f in (1e-4, 1e-2, 3.0))
    assert quiet.status == loud.status == "found"
    assert quiet.exponent_uncertainty < loud.exponent_uncertainty
    assert drowned.status == "undetermined"


def test_interactions_that_end_at_the_cutoff_have_no_long_range():
    found = determined(columns(lambda r: 10 * cosine(1)(r), 1e-3))
    assert found.status == "none"
    assert found.beyond_short_range < found.error


def test_a_screened_interaction_is_no_power_law():
    found = determined(columns(lambda r: -np.exp(-r / 1.0) * (1 / r + 1 / r**2), 1e-9))
    assert found.status == "no_power_law" or found.exponent > 5


def test_too_little_says_nothing_and_why():
    found = determined(columns(power_law(1.0), 1e-3)[:2])
    assert found.status == "undetermined"
    assert found.reason == "2 structures with forces are too few, 3 are the least"
    n = 3 * (len(WIDTHS) + 12) // 9  # atoms of three structures with as many components as three times the parameters
    for n_atoms, said in ((n + 1, None), (n - 1, f"{9 * n - 9} components of forces, of 3 structures, are too few")):
        small = [
            c._replace(**{name: getattr(c, name)[: 3 * n_atoms] for name in c._fields})
            for c in columns(power_law(1.0), 1e-3)[:3]
        ]
        reason = determined(small).reason
        assert reason is said or reason.startswith(said)
    broken = columns(power_law(1.0), 1e-3)
    broken[1].wanted[0] = np.nan
    assert determined(broken).reason == "forces of the model are not finite"
