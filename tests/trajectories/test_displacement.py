"""Mean-square displacements and diffusion against Brownian motion."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from trajectory_frames import frames

from sognet.errors import InputError
from sognet.trajectories.displacement import MeanSquareDisplacement, with_error
from sognet.trajectories.frames import continuous

CELL = np.array([[9.0, 0, 0], [2.5, 8.0, 0], [-1.5, 2.0, 10.0]])
STEP = 0.1  # ps
D = 0.5  # Å²/ps
SI = 1e-20 / 1e-12  # m²/s


def brownian(n_frames=300, n_atoms=20, seed=0, pbc=True, drift=0.0):
    rng = np.random.default_rng(seed)
    steps = np.sqrt(2 * D * STEP) * rng.standard_normal((n_frames, n_atoms, 3)) + drift
    return [Atoms(f"Ar{n_atoms}", positions=p, cell=CELL, pbc=pbc) for p in np.cumsum(steps, 0)]


def analyzed(all_frames, fit=None):
    quantity = MeanSquareDisplacement(all_frames[0], 8, fit)
    for frame in all_frames:
        quantity.add(frame)
    return quantity.result()


def test_lags_are_those_of_all_pairs_of_frames():
    all_frames = frames(brownian(40), STEP)
    found = analyzed(all_frames)
    places = np.stack([f.positions - f.positions.mean(0) for f in all_frames])
    for k, lag in enumerate(range(1, 17)):
        direct = ((places[lag:] - places[:-lag]) ** 2).sum(-1).mean()
        assert found.axis[k] == pytest.approx(lag * STEP)
        assert found.panels[0].curves[0].values[k] == pytest.approx(direct)
    np.testing.assert_allclose(found.axis[16:] / STEP, [18, 20, 22, 24, 26, 28, 30, 32, 36])


def test_error_of_the_diffusion_covers_the_truth():
    truth = D * (1 - 1 / 20)  # without the motion of the centre
    covered, values = [], []
    for seed in range(20):
        numbers = analyzed(frames(brownian(seed=seed, drift=0.3), STEP)).numbers["diffusion"]["Ar"]
        value, error = numbers["D (m²/s)"] / SI, numbers["error (m²/s)"] / SI
        covered.append(abs(value - truth) < error)
        values.append(value)
        assert numbers["power of t"] == pytest.approx(1, abs=0.25)
    assert np.mean(values) == pytest.approx(truth, abs=4 * np.std(values) / np.sqrt(20))
    assert 0.45 < np.mean(covered) < 0.9


def test_displacements_are_relative_to_the_centre_of_mass_not_to_that_of_the_atoms():
    """Two atoms that fly apart from a centre of mass that moves with another velocity."""
    mass = Atoms("HCl").get_masses()
    velocities = np.array([[1.0 / mass[0], 3.0, 0], [-1.0 / mass[1], 3.0, 0]])
    flying = [Atoms("HCl", positions=velocities * STEP * k) for k in range(20)]
    hydrogen, chlorine = (curve.values for curve in analyzed(frames(flying, STEP)).panels[0].curves)
    assert hydrogen[0] == pytest.approx((STEP / mass[0]) ** 2)
    assert chlorine[0] == pytest.approx((STEP / mass[1]) ** 2)


def test_vibrating_atoms_have_no_diffusion():
    rng = np.random.default_rng(0)
    crystal = [Atoms("Ar9", positions=0.1 * rng.standard_normal((9, 3)), cell=CELL, pbc=True) for _ in range(200)]
    (sentence,) = analyzed(frames(crystal, STEP)).sentences
    assert sentence.startswith("diffusion of Ar: none, since the MSD grows as t^")


@pytest.mark.parametrize(("pbc", "dimensions"), [([1, 1, 0], 2), ([0, 0, 1], 1), ([0, 0, 0], 3)])
def test_displacements_count_along_periodic_directions(pbc, dimensions):
    found = analyzed(frames(brownian(pbc=pbc), STEP), fit=[0.1, 1.0])
    assert found.numbers["diffusion"]["dimensions"] == dimensions
    assert found.numbers["diffusion"]["Ar"]["D (m²/s)"] / SI == pytest.approx(D, rel=0.1)


def test_wrapped_positions_are_followed_and_jumps_refused():
    trajectory = brownian(60)
    free = frames([atoms.copy() for atoms in trajectory], STEP)
    for atoms in trajectory:
        atoms.wrap()
    wrapped = frames(trajectory, STEP)
    followed = analyzed(list(continuous(wrapped, True)))
    np.testing.assert_allclose(followed.panels[0].curves[0].values, analyzed(free).panels[0].curves[0].values)
    np.testing.assert_allclose(next(iter(continuous(free, None))).positions, free[0].positions)
    with pytest.raises(InputError, match="wrapped=true"):
        list(continuous(wrapped, None))


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_cell_that_breathes_moves_nobody(wrapped):
    """Steps in scaled coordinates times the cell take atoms across many cells: displacements are these steps."""
    rng = np.random.default_rng(2)
    trajectory, scaled, places = [], rng.random((12, 3)), []
    path = np.zeros_like(scaled)
    for _ in range(60):
        cell = CELL * rng.normal(1, 0.02)
        step = rng.normal(0.5, 0.3, (12, 3))
        scaled = scaled + step @ np.linalg.inv(cell)
        path = path + step
        places.append(path - path.mean(0))
        trajectory.append(Atoms("Ar12", positions=scaled @ cell, cell=cell, pbc=True))
    if wrapped:
        for atoms in trajectory:
            atoms.wrap()
    found = analyzed(list(continuous(frames(trajectory, STEP), wrapped))).panels[0].curves[0].values
    for k, lag in enumerate(range(1, 17)):
        squares = ((np.array(places[lag:]) - np.array(places[:-lag])) ** 2).sum(-1)
        assert found[k] == pytest.approx(squares.mean())


def test_frames_without_times_or_of_uneven_times_are_refused():
    with pytest.raises(InputError, match="at least two frames"):
        analyzed(frames(brownian(1), STEP))
    uneven = frames(brownian(10), STEP)
    with pytest.raises(InputError, match="equally far apart"):
        analyzed([f for f in uneven if f.index != 4])
    with pytest.raises(InputError, match="equally far apart"):
        analyzed([replace(f, time=f.time + 0.05 * STEP * (f.index == 4)) for f in uneven])


def test_values_have_the_digits_of_their_errors():
    assert with_error(2.3127, 0.213) == "2.31 ± 0.21"
    assert with_error(231.27, 21.3) == "231 ± 21"
    assert with_error(2.3127, float("nan")) == "2.31"


def test_atoms_are_followed_along_periodic_directions_only():
    """Along an open one a jump by more than a lattice vector is one."""
    there, back = ([[1.0, 1.0, 0.0]], [[1.0, 1.0, 17.0]])
    slab = frames([Atoms("Ar", positions=p, cell=CELL, pbc=[True, True, False]) for p in (there, back)], STEP)
    for wrapped in (True, None):
        np.testing.assert_array_equal(list(continuous(slab, wrapped))[1].positions, back)


@pytest.mark.parametrize(("start", "rounded"), [(0.0, lambda time: round(time, 3)), (50000.0, np.float32)])
def test_times_may_be_rounded_as_files_have_them(start, rounded):
    """To three digits, or in single precision, of which a part from 50 ns on has steps that differ by some percent."""
    late = [replace(f, time=float(rounded(start + f.time))) for f in frames(brownian(200), 0.12345)]
    found = analyzed(late)
    assert found.axis[0] == pytest.approx(0.12345, rel=1e-3)
    with pytest.raises(InputError, match="equally far apart"):
        analyzed([f for f in late if f.index != 150])
