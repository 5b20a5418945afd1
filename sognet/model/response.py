"""What latent charges say of moments and of the response to a field.

The first latent variable is the charge q of an atom, in e. Along open directions, dipoles are those about the origin.
Along periodic directions the polarisation is a complex phase (P. Zhong et al., npj Comput. Mater., 2025): with the
phases φ_jd = 2π f_jd of the fractional coordinates along the lattice vector a_d,

    Z*_iαβ = Σ_d a_dα Re[exp(−i φ_id) ∂/∂r_iβ Σ_j q_j exp(i φ_jd) / (2π i)],

which no choice of images changes. Forces in a field E are Σ_α E_α Z*_iαβ.
"""

import inspect
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.model.strained_graph import periodic_projector

RESPONSES = ("charges", "dipole", "quadrupole", "born_effective_charges")


def responds(model: nn.Module) -> bool:
    """Whether a model gives these properties when asked; one of its own may have a forward pass that does not."""
    return "properties" in inspect.signature(model.forward).parameters and model.latent_head is not None


def check_responses(properties: Sequence[str], has_latents: bool) -> None:
    """Raise a ValueError where properties are unknown, or a model has no latent charges for them or for a field."""
    if unknown := sorted(set(properties) - set(RESPONSES)):
        raise ValueError(f"no property {', '.join(unknown)}; there are {', '.join(RESPONSES)}")
    if not has_latents:
        raise ValueError(f"no {' or '.join(properties or ['field'])}: a model without long range has no latent charges")
    if torch.compiler.is_compiling():
        raise ValueError(f"{', '.join(properties or ['field'])}: not while compiling")


def along_open_directions(positions: Tensor, graph: Data) -> Tensor:
    """Positions (N,3) without what they are along periodic directions, in which a dipole has no origin."""
    along = periodic_projector(graph.cell.detach(), graph.pbc).to(positions.dtype)
    return positions - _of_atoms(positions, along, graph.batch)


def dipole(charges: Tensor, positions: Tensor, graph: Data) -> Tensor:
    """Σ q r of charges (N,) along open directions, zero along periodic ones: (B,3), e·Å."""
    moments = charges[:, None] * along_open_directions(positions, graph)
    return moments.new_zeros(len(graph.cell), 3).index_add(0, graph.batch, moments)


def quadrupole(charges: Tensor, positions: Tensor, graph: Data) -> Tensor:
    """½ Σ q (3 r rᵀ − r²) of charges (N,), traceless, of structures without periodicity, else zero: (B,3,3), e·Å²."""
    squares = positions.square().sum(1)[:, None, None] * torch.eye(3, dtype=positions.dtype, device=positions.device)
    moments = charges[:, None, None] * (3 * positions[:, :, None] * positions[:, None] - squares) / 2
    total = moments.new_zeros(len(graph.cell), 3, 3).index_add(0, graph.batch, moments)
    return torch.where(graph.pbc.any(1)[:, None, None], 0.0, total)


def field_energies(charges: Tensor, graph: Data) -> Tensor:
    """−q r·E of each atom along open directions, with the field E of its structure, `graph.field` (B,3) in V/Å: (N,),
    eV.
    """
    field = graph.field.to(charges.dtype).index_select(0, graph.batch)
    return -charges * (along_open_directions(graph.pos, graph) * field).sum(1)


def born_effective_charges(
    charges: Tensor, positions: Tensor, graph: Data, create_graph: bool
) -> tuple[Tensor, Tensor]:
    """Z*_iαβ of the polarisation (α) and the atom's displacement (β), (N,3,3) in e: the parts of periodic and of open
    directions, whose sum it is.

    Parameters
    ----------
    charges : (N,), a function of the positions.
    positions : (N,3), leaf of the graph of derivatives.
    graph : `cell` (B,3,3), `pbc` (B,3), `batch` (N,).
    create_graph : whether the result is differentiated again.
    """

    def gradient(total: Tensor) -> Tensor:
        settings = {"retain_graph": True, "create_graph": create_graph, "allow_unused": True, "materialize_grads": True}
        return torch.autograd.grad(total, positions, **settings)[0] if total.requires_grad else positions * 0

    periodic = open_part = positions.new_zeros(len(positions), 3, 3)
    if graph.pbc.any():
        vectors = graph.cell.detach() * graph.pbc[..., None]
        reciprocal = torch.linalg.pinv(vectors.double()).to(positions.dtype)
        phases = 2 * math.pi * _of_atoms(positions, reciprocal, graph.batch)  # (N, 3), zero along open directions
        currents = []
        for d in range(3):
            cosine, sine = phases[:, d].cos(), phases[:, d].sin()
            of_sine, of_cosine = gradient((charges * sine).sum()), gradient((charges * cosine).sum())
            currents.append((cosine[:, None] * of_sine - sine[:, None] * of_cosine) / (2 * math.pi))
        periodic = torch.einsum("ndb,nda->nab", torch.stack(currents, 1), vectors[graph.batch])
    if graph.pbc.all():
        return periodic, open_part
    opened = along_open_directions(positions, graph)
    of_net = gradient(charges.sum())  # zero where the net charge does not depend on the positions
    open_part = torch.stack([gradient((charges * opened[:, a]).sum()) for a in range(3)], 1)
    return periodic, open_part - opened[:, :, None] * of_net[:, None]


def add_responses(
    out: dict[str, Tensor], positions: Tensor, graph: Data, properties: Sequence[str], create_graph: bool
) -> None:
    """Put properties into a model's output, and the force of a field along periodic directions onto its forces.

    Parameters
    ----------
    positions : as for born_effective_charges.
    properties : of RESPONSES.
    """
    charges, field = out["latent"][:, 0], graph.field if "field" in graph else None
    if "charges" in properties:
        out["charges"] = charges
    if "dipole" in properties:
        out["dipole"] = dipole(charges, positions, graph)
    if "quadrupole" in properties:
        out["quadrupole"] = quadrupole(charges, positions, graph)
    if "born_effective_charges" not in properties and field is None:
        return
    with torch.enable_grad():
        periodic, open_part = born_effective_charges(charges, positions, graph, create_graph)
    if "born_effective_charges" in properties:
        out["born_effective_charges"] = periodic + open_part
    if field is not None and "forces" in out:
        of_atoms = field.to(positions.dtype).index_select(0, graph.batch)
        out["forces"] = out["forces"] + torch.einsum("na,nab->nb", of_atoms, periodic)


def _of_atoms(positions: Tensor, matrices: Tensor, batch: Tensor) -> Tensor:
    """Positions (N,3) times the matrix (3,3) of their structure."""
    return torch.einsum("ni,nij->nj", positions, matrices.index_select(0, batch))
