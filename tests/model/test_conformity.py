"""Published CACE-SOG models of molten NaCl, against what the published code computes with them.

The weights and the reference values, in double precision, lie in the folder `conformity` beside the reference data; its
README says where they come from. Modes are those of the sphere. docs/models.md says where the two codes differ.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.data import chemical_symbols
from structures import graph_of
from torch import Tensor

from sognet import SOGNet, load_model
from sognet.long_range import FourierConvolution, SumOfGaussians
from sognet.model.checkpoint import model_entry
from sognet.model.heads import Readout
from sognet.short_range import CACE

pytestmark = pytest.mark.usefixtures("double")

TOLERANCE = 1e-8
"""Of the largest value; the published code adds 1e-9 Å to distances before it divides by them."""

ON_THE_SPHERE = 1 + 1e-12
"""Modes at |k| = k_cut count as inside, whatever their last digit."""


@dataclass
class Published:
    """Settings, weights and reference values of one model."""

    settings: dict
    weights: dict[str, Tensor]
    reference: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path, name: str) -> "Published":
        with np.load(folder / f"{name}.npz") as file:
            settings = json.loads(str(file["settings"]))
            weights = {k: torch.from_numpy(file[k]).double() for k in file.files if k != "settings"}
        with np.load(folder / f"{name}_reference.npz") as file:
            return cls(settings, weights, {k: file[k] for k in file.files})

    @property
    def n_layers(self) -> int:
        return self.settings["n_message_passing"] + 1

    def order(self, n_layers: int) -> Tensor:
        """Place in the published order of features (radial, invariant, channel, layer) of each of ours
        (layer, invariant, channel, radial).
        """
        n_radial, n_channels = self.settings["n_radial"], self.settings["n_embedding"] ** 2
        n_features = self.weights["energy_bypass_weight"].shape[1] * n_layers // self.n_layers
        return torch.arange(n_features).reshape(n_radial, -1, n_channels, n_layers).permute(3, 1, 2, 0).flatten()

    def descriptor(self) -> CACE:
        s = self.settings
        names = {"Bchi": "network"}
        return CACE(
            [chemical_symbols[z] for z in s["zs"]],
            **{k: s[k] for k in ("cutoff", "n_bessel", "n_radial", "l_max", "nu_max", "n_embedding")},
            n_message_passing=s["n_message_passing"],
            messages=[names[m] for m in s["messages"]] or ["network"],
            message_hidden=[],
            cutoff_power=s["cutoff_power"],
        )

    def model(self) -> SOGNet:
        """The published weights in a model that settings alone make."""
        s, w = self.settings, self.weights
        assert s["prefactor"] == "1/(2V)"
        kernel = SumOfGaussians(s["norm_factor"] * w["gaussian_weights"][None], torch.exp(-w["gaussian_shift"])[None])
        layer = FourierConvolution(kernel, k_cut=2 * math.pi / s["mode_spacing"] * ON_THE_SPHERE)
        model = SOGNet(self.descriptor(), layer, s["n_latent"], s["energy_hidden"], s["latent_hidden"]).double()
        with torch.no_grad():
            self._fill_descriptor(model.short_range)
            self._fill_head(model.energy_head, "energy")
            self._fill_head(model.latent_head, "latent")
        return model.eval()

    def _fill_descriptor(self, cace: CACE) -> None:
        w, n = self.weights, self.settings["n_embedding"]
        cace.sender.copy_(w["sender"])
        cace.receiver.copy_(w["receiver"])
        cace.bessel.frequencies.copy_(w["bessel"] * cace.cutoff)
        # (l, bessel, radial, channel = sender·n + receiver) -> (l, sender, bessel, receiver, radial)
        cace.mixing.copy_(w["mixing"].unflatten(-1, (n, n)).permute(0, 3, 1, 4, 2))
        for message_passing in cace.layers:
            (linear,) = message_passing.network.layers
            linear.weight.copy_(self.settings["message_norm"] * w["message_weight"][:, self.order(1)])
            linear.bias.copy_(self.settings["message_norm"] * w["message_bias"])

    def _fill_head(self, head: Readout, name: str) -> None:
        order = self.order(self.n_layers)
        parts = {f"layer{i}": layer for i, layer in enumerate(head.network.layers)} | {"bypass": head.bypass}
        for part, layer in parts.items():
            weight = self.weights[f"{name}_{part}_weight"]
            layer.weight.copy_(weight[:, order] if part in ("layer0", "bypass") else weight)
            if layer.bias is not None:
                layer.bias.copy_(self.weights[f"{name}_{part}_bias"])


@pytest.fixture(params=["SOG_MP0", "SOG_MP1"])
def published(request, reference_data) -> Published:
    return Published.read(reference_data(f"../conformity/{request.param}.npz").parent, request.param)


@pytest.mark.parametrize("structure", ["rattled", "triclinic", "melt64", "melt128"])
def test_published_models_are_reproduced(published, structure, device):
    model = published.model().to(device)
    wanted = {k.split("/")[1]: v for k, v in published.reference.items() if k.startswith(f"{structure}/")}
    atoms = Atoms(wanted["numbers"], wanted["positions"], cell=wanted["cell"], pbc=True)
    graph = graph_of(atoms, model.cutoff).to(device)
    out = model(graph)
    features = model.short_range(graph)
    some = features[: len(wanted["features"]), torch.argsort(published.order(published.n_layers))]
    found = {
        "features": some.reshape(wanted["features"].shape),
        "atomic_energies": model.energy_head(features)[:, 0],
        "latent": out["latent"],
        "energy_short_range": out["energy_short_range"][0],
        "energy_long_range_sphere": out["energy_long_range"][0],
        "forces": out["forces"],
    }
    wanted["forces"] = wanted["forces_short_range"] + wanted["forces_long_range_sphere"]
    for name, value in found.items():
        scale = np.abs(wanted[name]).max()
        np.testing.assert_allclose(
            value.detach().cpu().numpy(), wanted[name], rtol=0, atol=TOLERANCE * scale, err_msg=name
        )


def test_a_published_model_goes_through_a_checkpoint(published, tmp_path):
    model = published.model()
    weights = {f"model.{k}": v for k, v in model.state_dict().items()}
    torch.save({"sognet": model_entry(model), "state_dict": weights}, tmp_path / "published.ckpt")
    loaded = load_model(tmp_path / "published.ckpt", dtype=torch.float64)
    atoms = Atoms("NaCl", [[0, 0, 0], [2.7, 0.1, 0]], cell=[6.0, 6.5, 7.0], pbc=True)
    graph = graph_of(atoms, model.cutoff)
    torch.testing.assert_close(loaded(graph)["forces"], model(graph)["forces"], rtol=1e-12, atol=1e-12)
