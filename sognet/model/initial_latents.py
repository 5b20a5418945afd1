"""Latents that start near charges of their elements."""

from collections.abc import Mapping, Sequence

import torch
from torch_geometric.data import Data

from sognet.model.heads import FixedCharges, Readout
from sognet.model.sognet import SOGNet

RIDGE = 1e-4


@torch.no_grad()
def start_latents(model: SOGNet, graph: Data, charges: Mapping[str, float | Sequence[float]]) -> None:
    """Let the latents of the atoms of a graph start near a charge of their element.

    The energy does not tell a latent variable that is zero into which direction to grow; what the first steps make of
    it may last. Where elements have latents of their own, these take the charges. Else the linear bypass of the
    latent-variable network does, by least squares with a small ridge; without a bias, the charges' mean over
    standardized atoms is lost.

    Parameters
    ----------
    model : a new one, after `set_standardization`.
    graph : structures with all elements.
    charges : in e, by chemical symbol: of the first latent channel, or of each of the first channels.

    Raises
    ------
    ValueError : an element without a charge, a charge without an element, or no network with a bypass.
    """
    if missing := sorted(set(model.species) - set(charges)):
        raise ValueError(f"charges to start from are missing for {', '.join(missing)}")
    rows = {symbol: [q] if isinstance(q, int | float) else list(q) for symbol, q in charges.items()}
    if model.element_head is not None:
        for values, symbol in zip(model.element_head.values, model.species, strict=True):
            values[: len(rows[symbol])] = torch.tensor(rows[symbol])
        return
    if not isinstance(model.latent_head, Readout) or model.latent_head.bypass is None:
        raise ValueError("initial charges need latents of elements, or a latent-variable network with a bypass")
    features = model.inputs_of_heads(graph)
    channels = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    wanted = torch.cat([FixedCharges(channel)(graph.z.cpu()) for channel in channels], 1).to(features)
    started = model.latent_head(features)[:, : wanted.shape[1]]
    missing_part = (wanted / model.latent_unit - started).double()
    features = features.double()
    gram = features.mT @ features
    gram.diagonal().add_(RIDGE * gram.diagonal().mean())
    change = torch.linalg.solve(gram, features.mT @ missing_part).mT
    model.latent_head.bypass.weight[: len(change)] += change.to(wanted.dtype)
