"""A frozen model to whose energies, forces and stress the trained part of a SOGNet adds: E = E_baseline + ΔE.

It is evaluated apart, or not at all where a graph brings what it gives (sognet.data.baseline_labels).
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.data.baseline_labels import BaselineKeys
from sognet.data.graph import edges_within

PASSED_ON = ("z", "pos", "cell", "pbc", "charge", "batch")


def identity_of(baseline: nn.Module, description: Mapping[str, Any]) -> str:
    """Hash of a model's description and weights, the same in single and in double precision of the same weights."""
    digest = hashlib.sha256(repr(_sorted(description)).encode())
    for name, value in baseline.state_dict().items():
        digest.update(name.encode())
        digest.update(value.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def _sorted(value: Any) -> Any:
    """Plain values whose dictionaries, at any depth, are lists of pairs in the order of their keys."""
    if isinstance(value, Mapping):
        return sorted(((repr(key), _sorted(content)) for key, content in value.items()), key=lambda pair: pair[0])
    return [_sorted(part) for part in value] if isinstance(value, list) else value


def baseline_part(
    baseline: nn.Module, graph: Data, cutoff: float, forces: bool = True, stress: bool = False, energies: bool = False
) -> dict[str, Tensor]:
    """What a baseline gives for a graph: `energy` (B,) and where wanted `forces`, `stress` and `energies`.

    Parameters
    ----------
    baseline : a SOGNet.
    graph : one structure or a batch, which may bring the values under the baseline's identity; energies of atoms are
        always computed.
    cutoff : Å, of the edges of the graph; where the baseline's is another, it gets edges of its own.

    Raises
    ------
    ValueError : it would have to be evaluated while compiling.
    """
    keys = BaselineKeys.of(baseline.identity)
    if keys.energy in graph and not energies:
        wanted = {"energy": True, "forces": forces, "stress": stress}
        return {name: graph[getattr(keys, name)] for name, asked in wanted.items() if asked}
    if torch.compiler.is_compiling():
        raise ValueError("a baseline is not compiled; compile a model whose graphs bring what it gives")
    own = Data(**{name: graph[name].detach() for name in PASSED_ON if name in graph})
    if baseline.cutoff == cutoff:
        own.edge_index, own.cell_shift = graph.edge_index, graph.cell_shift
    else:
        own.edge_index, own.cell_shift = edges_within(own, baseline.cutoff)
    out = baseline(own, forces=forces, stress=stress, energies=energies)
    return {name: out[name].detach() for name in ("energy", "forces", "stress", "energies") if name in out}


def bring_baseline(baseline: nn.Module | None, graph: Data, cutoff: float) -> None:
    """Let a graph bring what a baseline gives, for several evaluations, in place; nothing without a baseline."""
    if baseline is None or (keys := BaselineKeys.of(baseline.identity)).energy in graph:
        return
    for name, value in baseline_part(baseline, graph, cutoff, stress=True).items():
        graph[getattr(keys, name)] = value


def add_baseline(out: dict[str, Tensor], part: dict[str, Tensor]) -> None:
    """Add what a baseline gives to the output of a trained part, in place. Its energy counts as of short range."""
    for name in ("forces", "stress", "energies"):
        if name in out:
            out[name] = out[name] + part[name].to(out[name])
    out["energy"] = out["energy"] + part["energy"].to(out["energy"])
    out["energy_short_range"] = out["energy_short_range"] + part["energy"].to(out["energy_short_range"])
    out["energy_baseline"] = part["energy"]
