"""A slab that grows through steps of its period, at which the plan is made anew, conserves its energy."""

import numpy as np
import pytest
import torch
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet
from structures import deep_potential

from sognet import SOGNet, SOGNetCalculator
from sognet.evaluation.shorter_kernel import save
from sognet.long_range import plan as planning
from sognet.long_range import power_law_convolution


def slab() -> Atoms:
    """Three layers of 16 ions; the uppermost flies off by 25 Å in 200 fs."""
    rng = np.random.default_rng(0)
    sites = np.stack(np.meshgrid(np.arange(4), np.arange(4), np.arange(3), indexing="ij"), -1).reshape(-1, 3)
    symbols = np.where(sites.sum(1) % 2, "Cl", "Na")
    atoms = Atoms(symbols, 2.8 * sites + rng.uniform(-0.1, 0.1, sites.shape), pbc=[True, True, False])
    atoms.set_cell([11.2, 11.2, 0.0])
    velocities = rng.normal(0, 0.002, sites.shape)
    velocities[sites[:, 2] == 2, 2] += 0.125
    atoms.set_velocities(velocities / units.fs)
    return atoms


@pytest.mark.parametrize("learned", [False, True])
def test_energy_is_conserved_where_the_period_takes_a_step(learned, tmp_path, monkeypatch):
    """Fixed charges of one e, or charges that follow the surroundings; settings of the long range as by default."""
    torch.manual_seed(0)
    layer = power_law_convolution(cutoff=4.0, tolerance=1e-4, remove_self_interaction=True)
    settings = {"neutral": True, "latent_bias": True} if learned else {"charges": {"Na": 1.0, "Cl": -1.0}}
    save(SOGNet(deep_potential(), layer, **settings), tmp_path / "m.ckpt")
    periods = []
    original = planning.periods_of
    monkeypatch.setattr(planning, "periods_of", lambda x: periods.append(original(x).item()) or original(x))
    atoms = slab()
    atoms.calc = SOGNetCalculator(tmp_path / "m.ckpt", dtype="float64")
    energies, periods_then = [], []
    dynamics = VelocityVerlet(atoms, 1.0 * units.fs)
    for _ in range(200):
        energies.append(atoms.get_total_energy())
        periods_then.append(periods[-1])
        dynamics.run(1)
    energies, steps = np.array(energies) / len(atoms), np.flatnonzero(np.diff(periods_then))
    assert len(steps) > 10
    assert np.ptp(energies) < 1e-4
    late = steps[steps > 50]  # when integration no longer errs by more
    assert np.abs(np.diff(energies))[late].max() < 2e-6
