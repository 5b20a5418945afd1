"""Latents: neutral by construction where asked, small at first, and forces that stay exact."""

import numpy as np
import pytest
import torch
from ase import Atoms
from structures import batch_of, deep_potential, random_atoms, small_model

from sognet import SOGNet
from sognet.long_range import FourierConvolution, SumOfGaussians

pytestmark = pytest.mark.usefixtures("double")


def charged_batch(device):
    frames = [random_atoms(n, seed=n, pbc=n % 2 == 0) for n in (9, 4, 7)]
    batch = batch_of(*frames)
    batch.charge = torch.tensor([1.0, 0.0, -2.0], dtype=torch.float64)
    return batch.to(device)


@pytest.mark.parametrize("n_latent", [1, 3])
@pytest.mark.parametrize("total_charge", [True, False])
def test_latents_add_up_to_the_total_charge(n_latent, total_charge, device):
    batch = charged_batch(device)
    model = small_model(n_latent=n_latent, neutral=True, total_charge=total_charge).to(device)
    sums = torch.zeros(3, n_latent, device=device).index_add(0, batch.batch, model(batch)["latent"])
    torch.testing.assert_close(sums[:, 0], batch.charge, atol=1e-12, rtol=0)
    torch.testing.assert_close(sums[:, 1:], torch.zeros_like(sums[:, 1:]), atol=1e-12, rtol=0)
    free = small_model(n_latent=n_latent, total_charge=total_charge).to(device)(batch)["latent"]
    differences = (free - model(batch)["latent"]).detach()
    for structure in range(3):
        own = differences[batch.batch == structure].cpu().numpy()
        np.testing.assert_allclose(np.ptp(own, axis=0), 0.0, atol=1e-12)


def test_chosen_channels_are_neutral(device):
    batch = charged_batch(device)
    free, chosen = (small_model(n_latent=2, neutral=n).to(device)(batch)["latent"] for n in (False, [True, False]))
    sums = torch.zeros(3, device=device).index_add(0, batch.batch, chosen[:, 0])
    torch.testing.assert_close(sums, batch.charge, atol=1e-12, rtol=0)
    torch.testing.assert_close(chosen[:, 1], free[:, 1], atol=0, rtol=0)


def test_an_excess_is_shared_out_by_weights_of_the_elements(device):
    """Equally at first; then in the ratio of the weights, which learn, and forces are derivatives."""
    batch = charged_batch(device)
    free = small_model(n_latent=2).to(device)(batch)["latent"].detach()
    equally = small_model(n_latent=2, neutral=True).to(device)(batch)["latent"]
    model = small_model(n_latent=2, neutral=True, excess_by_element=True).to(device)
    torch.testing.assert_close(model(batch)["latent"], equally, atol=1e-14, rtol=0)
    with torch.no_grad():
        model.neutralization.weights.values[1] = 3.0
    latent = model(batch)["latent"]
    sums = torch.zeros(3, device=device).index_add(0, batch.batch, latent[:, 0])
    torch.testing.assert_close(sums, batch.charge, atol=1e-12, rtol=0)
    shift = (latent - free)[batch.batch == 0]
    one, other = (shift[batch.z[batch.batch == 0] == z] for z in (11, 17))
    ratio = np.log1p(np.exp(3.0 + np.log(np.e - 1)))
    torch.testing.assert_close(other[:1] / one[:1], torch.full_like(one[:1], ratio))
    model.train()(batch)["forces"].square().sum().backward()
    assert model.neutralization.weights.values.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"neutral": [True]}, "is for 1 latent channels, but n_latent is 2"), ({"n_channels": 3}, "set n_latent=3")],
)
def test_channels_that_do_not_fit_are_refused(settings, message):
    channels = settings.pop("n_channels", 1)
    layer = FourierConvolution(SumOfGaussians.power_law(n_channels=channels))
    with pytest.raises(ValueError, match=message):
        SOGNet(deep_potential(), layer, n_latent=2, **settings)


@pytest.mark.parametrize("pbc", [True, False])
def test_forces_and_stress_are_derivatives_with_neutral_latents(pbc, device):
    model = small_model(neutral=True, n_latent=2).to(device).eval()
    atoms = random_atoms(pbc=pbc)

    def energy(changed: Atoms) -> float:
        return model(batch_of(changed).to(device))["energy"].item()

    out = model(batch_of(atoms).to(device))
    for atom, axis in ((0, 0), (5, 2)):
        ends = []
        for step in (1e-4, -1e-4):
            moved = atoms.copy()
            moved.positions[atom, axis] += step
            ends.append(energy(moved))
        assert out["forces"][atom, axis].item() == pytest.approx(-(ends[0] - ends[1]) / 2e-4, abs=1e-7)


def test_distant_fragments_are_as_good_as_each_alone(device):
    """Fragments whose own latents are neutral keep them beside one another; what each lacks is shared by both."""
    model = small_model(neutral=True, n_latent=1, latent_bias=False, species=("Na", "Cl")).to(device)
    one = Atoms("NaCl", positions=[[0, 0, 0], [2.4, 0, 0]])
    same, far = one.copy(), one.copy()
    far.positions += [0, 0, 1e4]
    alone = model(batch_of(one).to(device))
    pair = model(batch_of(same + far).to(device))
    assert pair["energy"].item() == pytest.approx(2 * alone["energy"].item(), abs=1e-6)
    torch.testing.assert_close(pair["latent"], alone["latent"].repeat(2, 1), atol=1e-12, rtol=0)
    other = Atoms("NaCl", positions=[[0, 0, 0], [3.1, 0, 0]])
    other.positions += [0, 0, 1e4]
    mixed = model(batch_of(one + other).to(device))["latent"]
    free = small_model(n_latent=1, latent_bias=False).to(device)
    excess = [free(batch_of(fragment).to(device))["latent"].sum().item() for fragment in (one, other)]
    assert mixed[:2].sum().item() == pytest.approx((excess[0] - excess[1]) / 2, abs=1e-9)


def test_latents_start_small(device):
    batch = charged_batch(device)
    usual, small = small_model().to(device), small_model(latent_scale=0.03).to(device)
    torch.testing.assert_close(small(batch)["latent"], 0.03 * usual(batch)["latent"])
    torch.testing.assert_close(small(batch)["energy_long_range"], 0.03**2 * usual(batch)["energy_long_range"])
    torch.testing.assert_close(small(batch)["energy_short_range"], usual(batch)["energy_short_range"])


def test_a_long_range_without_latents_is_refused():
    with pytest.raises(ValueError, match="n_latent must be at least 1"):
        small_model(n_latent=0)
