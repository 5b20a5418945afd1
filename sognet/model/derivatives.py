"""Energies of a graph with their derivatives by positions, strain and a field."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from sognet.model.response import add_responses, field_energies
from sognet.model.strained_graph import copied, deform, stress_of


def with_derivatives(
    energies_of: Callable[[Data], dict[str, Tensor]],
    graph: Data,
    forces: bool,
    stress: bool,
    properties: Sequence[str],
    training: bool,
) -> dict[str, Tensor]:
    """What `energies_of` gives for a graph, with forces, stress and properties where wanted; see `SOGNet.forward`.

    Parameters
    ----------
    energies_of : gives the energies and latents of a graph whose positions and cell may have been moved.
    graph : in the precision of the model, with `batch`; its `field` (B,3) acts on the first latent.
    training : whether the derivatives can be differentiated again.
    """
    responds = bool(properties) or "field" in graph
    moves = forces or responds

    def interaction(*moved: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of the energies, which positions and strain (where wanted) move, and what else is found."""
        here = copied(graph)
        if moves:
            here.pos = moved[0]
        if stress:
            deform(here, moved[-1])
        out = energies_of(here)
        total = out["energy_short_range"] + out["energy_long_range"]
        if "field" in here:
            of_atoms = field_energies(out["latent"][:, 0], here)
            out["energy_field"] = of_atoms.new_zeros(len(here.cell)).index_add(0, here.batch, of_atoms)
            out["energy"] = out["energy"] + out["energy_field"].double()
            if "energies" in out:
                out["energies"] = out["energies"] + of_atoms.detach().double()
            total = total + out["energy_field"]
        return total.sum(), out

    wanted = [graph.pos] if moves else []
    if stress:
        wanted.append(torch.zeros_like(graph.cell))
    if not wanted:
        return interaction()[1]
    if torch.compiler.is_compiling():  # compilers do not differentiate twice from outside
        arguments = tuple(range(len(wanted)))
        gradients, out = torch.func.grad(interaction, arguments, has_aux=True)(*wanted)
    else:
        with torch.enable_grad():
            wanted = [x.detach().requires_grad_() for x in wanted]
            total, out = interaction(*wanted)
            differentiated = {"create_graph": training, "retain_graph": training or responds}
            gradients = torch.autograd.grad(total, wanted, **differentiated, materialize_grads=True, allow_unused=True)
    if forces:
        out["forces"] = -gradients[0]
    if stress:
        out["stress"] = stress_of(gradients[-1], graph)
    if responds:
        add_responses(out, wanted[0], graph, properties, training)
    return out
