"""SOGNet: descriptor -> short-range energy and latent variables -> long-range energy -> forces and stress."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from sognet.long_range.decay import kernel_of
from sognet.long_range.species_pairs import n_pairs
from sognet.model.baseline import add_baseline, baseline_part, identity_of
from sognet.model.calculator_baseline import CalculatorBaseline
from sognet.model.derivatives import with_derivatives
from sognet.model.heads import ElementLatents, FixedCharges, Readout, SpeciesColumns
from sognet.model.neutrality import Neutralization
from sognet.model.origins import near_first_atom
from sognet.model.plan import OTHER_EDGES, ModelPlan, make_plan
from sognet.model.reference_energies import ReferenceEnergies
from sognet.model.response import check_responses
from sognet.model.short_range_output import as_output, brings_energies
from sognet.model.strained_graph import copied
from sognet.nn.validity import nan_unless


class SOGNet(nn.Module):
    """Interatomic potential E = Σ_i ε(z_i) + Σ_i f_SR(D_i) + E_LR(q), q_i = f_q(D_i) ([SOG-Net]).

    Parameters
    ----------
    short_range : descriptor or model with energies of its own, a module as sognet.interfaces.ShortRange says. Energies
        of its own take the place of the energy network's.
    long_range : long-range layer, a module as sognet.interfaces.LongRange says; None for the short-range control.
    n_latent : P, latent variables per atom.
    energy_hidden, latent_hidden : hidden widths of the energy and of the latent-variable network.
    activation : "silu" or "tanh", of both networks.
    bypass : add a linear function of the features to both networks' outputs.
    residual : skip connections in both networks where the width stays or doubles.
    latent_bias : whether the latent-variable network has biases.
    latent_scale : factor of the latents. The energy is quadratic in them: small ones start a model near its short-range
        control, and steps of an optimizer, which change every weight by the learning rate, leave charges stable.
    element_latents : add a trainable latent of each element, in e, to what the latent-variable network gives.
    neutral : share out what the latents of a structure add up to beyond its total charge Q equally over its atoms, so
        that they add up to Q (in the first latent channel; to zero in the others). Charges of distant neutral fragments
        depend on one another only as far as the network's own do not add up to zero in each. Or one of these for each
        channel: what is no charge, as in a dispersion r^-6, need not add up to anything.
    excess_by_element : with `neutral`, share the excess out by trainable positive weights of the elements.
    total_charge : append each structure's total charge Q (`graph.charge`) to the features of both networks.
    charge_key : name under which structures carry their total charge, `atoms.info[charge_key]`; for calculators.
    charges : known charges by chemical symbol, which replace the latent-variable network; P = 1.
    reference_energies : energy in eV by chemical symbol.
    energy_scale : eV; E_SR is this times the energy network and q its square root times the latent network, so that
        the networks' outputs are of order one whatever the strength of the interaction. A good choice is the root
        mean square force times 1 Å.
    standardize : shift and scale the features to zero mean and unit standard deviation over the atoms given to
        `set_standardization`.
    feature_scale : standard deviation of standardized features instead; None: one over their number, with which the
        first steps of Adam, which move every weight by the learning rate, change an energy by no more than that.
    baseline : frozen model to which all of this adds: a SOGNet, a short-range model with energies of its own, or a
        CalculatorBaseline.

    Raises
    ------
    ValueError : n_latent below 1, or other than the channels of the kernel or of `neutral`; charges given that do not
        cover the species, or with P > 1; a short-range model that is not one; a baseline without energies of its own,
        or that does not know an element of the short-range model.
    """

    def __init__(
        self,
        short_range: nn.Module,
        long_range: nn.Module | None = None,
        n_latent: int = 1,
        energy_hidden: Sequence[int] = (32, 16),
        latent_hidden: Sequence[int] = (24, 12),
        activation: str = "silu",
        bypass: bool = True,
        residual: bool = False,
        latent_bias: bool = False,
        latent_scale: float = 1.0,
        element_latents: bool = False,
        neutral: bool | Sequence[bool] = False,
        total_charge: bool = False,
        charges: Mapping[str, float] | None = None,
        reference_energies: Mapping[str, float] | None = None,
        energy_scale: float = 1.0,
        standardize: bool = False,
        feature_scale: float | None = 1.0,
        charge_key: str = "charge",
        excess_by_element: bool = False,
        baseline: nn.Module | None = None,
    ) -> None:
        super().__init__()
        with_energies = brings_energies(short_range)
        self.short_range = short_range
        self.long_range = long_range
        if n_latent < 1:
            raise ValueError(f"n_latent must be at least 1, got {n_latent}; without latent variables, long_range=None")
        kernel, n_species = kernel_of(long_range), getattr(long_range, "n_species", 1)
        if n_species not in (1, len(short_range.species)):
            raise ValueError(
                f"the long range has kernels of pairs of {n_species} species, and the short range has "
                f"{len(short_range.species)}: {', '.join(short_range.species)}"
            )
        n_kernels = 1 if kernel is None else kernel.n_channels // n_pairs(n_species)
        if n_kernels not in (1, n_latent):
            raise ValueError(
                f"the kernel of the long range has {n_kernels} channels and n_latent is {n_latent}; set "
                f"n_latent={n_kernels}, or one channel, which all latent variables share"
            )
        if not isinstance(neutral, bool) and len(neutral) != n_latent:
            raise ValueError(
                f"neutral={list(neutral)} is for {len(neutral)} latent channels, but n_latent is {n_latent}"
            )
        self.n_latent = n_latent
        self.energy_hidden = tuple(energy_hidden)
        self.latent_hidden = tuple(latent_hidden)
        self.activation = activation
        self.bypass = bypass
        self.residual = residual
        self.latent_bias = latent_bias
        self.latent_scale = latent_scale
        self.neutral = neutral if isinstance(neutral, bool) else list(neutral)
        self.excess_by_element = excess_by_element
        self.total_charge = total_charge
        self.charge_key = charge_key
        self.charges = dict(charges) if charges else None
        self.energy_scale = energy_scale
        self.standardize = standardize
        self.feature_scale = feature_scale
        self.register_buffer("feature_mean", torch.zeros(short_range.n_features if standardize else 0))
        self.register_buffer("feature_std", torch.ones(short_range.n_features if standardize else 0))
        self.register_load_state_dict_pre_hook(_rename_old_buffers)
        n_features = short_range.n_features + int(total_charge)
        self.energy_head: nn.Module | None = None
        if not with_energies:
            self.energy_head = Readout(n_features, energy_hidden, 1, activation, True, bypass, residual)
        self.latent_head: nn.Module | None = None
        if self.charges is not None:
            if n_latent != 1 or set(short_range.species) - set(self.charges):
                raise ValueError(f"charges must cover {short_range.species} with n_latent=1, got {self.charges}")
            self.latent_head = FixedCharges(self.charges)
        elif long_range is not None:
            self.latent_head = Readout(n_features, latent_hidden, n_latent, activation, latent_bias, bypass, residual)
        of_elements = element_latents and isinstance(self.latent_head, Readout)
        self.element_latents = element_latents
        self.element_head = ElementLatents(short_range.species, n_latent) if of_elements else None
        self.species_columns = SpeciesColumns(short_range.species) if n_species > 1 else None
        self.neutralization: Neutralization | None = None
        if self.neutral:
            self.neutralization = Neutralization(self.neutral, short_range.species if excess_by_element else None)
        self.composition = ReferenceEnergies(reference_energies or {})
        self.baseline: SOGNet | CalculatorBaseline | None = None
        self._identity: str | None = None
        self.register_load_state_dict_post_hook(_forget_identity)
        if baseline is not None:
            self.set_baseline(baseline)

    def set_baseline(self, baseline: nn.Module) -> None:
        """Add to a frozen model, in place; see the class."""
        baseline = as_baseline(baseline)
        if unknown := sorted(set(self.species) - set(baseline.species)):
            raise ValueError(f"the baseline does not know {', '.join(unknown)}; it knows {', '.join(baseline.species)}")
        self.baseline = baseline.to(self.dtype)

    @property
    def identity(self) -> str:
        """Hash of the settings and weights of a model that is not trained any more."""
        if self._identity is None:
            from sognet.model.description import describe  # which knows this class

            self._identity = identity_of(self, describe(self))
        return self._identity

    def train(self, mode: bool = True) -> Self:
        """Training mode; a baseline stays in evaluation mode."""
        super().train(mode)
        if self.baseline is not None:
            self.baseline.eval()
        return self

    @property
    def species(self) -> list[str]:
        """Chemical symbols the model knows."""
        return self.short_range.species

    @property
    def n_long_range(self) -> int:
        """Columns of the latents that the long-range layer gets: P, or P for each species."""
        return self.n_latent * (1 if self.species_columns is None else len(self.species))

    @property
    def latent_unit(self) -> float:
        """What the latent-variable network's output of one stands for."""
        return self.latent_scale * self.energy_scale**0.5

    @property
    def cutoff(self) -> float:
        """Distance within which a graph must hold all neighbours, Å."""
        return self.short_range.cutoff

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the networks."""
        return next(self.parameters(), self.feature_mean).dtype

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.parameters(), self.feature_mean).device

    @property
    def reference_energies(self) -> dict[str, float]:
        """Energy in eV by chemical symbol."""
        return self.composition.energies

    @torch.no_grad()
    def set_standardization(self, graph: Data) -> None:
        """Take mean and standard deviation of the features from the atoms of a graph, once, before training.

        Features that hardly vary are scaled as if they varied by a hundredth of the most variable one.
        """
        spread, mean = torch.std_mean(self.features(graph), dim=0, correction=0)
        floor = 0.01 * spread.max()
        self.feature_mean.copy_(mean)
        scale = self.feature_scale or 1 / len(mean)
        self.feature_std.copy_((spread + (floor if floor > 0 else 1.0)) / scale)

    def plan(self, graph: Data, fixed_cells: bool = False) -> ModelPlan:
        """What the parts of the model compute once for a graph.

        It serves for other positions, while `plan.covers(positions)`, and little changed cells, with the same edges and
        elements. A forward pass with a
        plan compiles in one graph (`torch.compile`), forces and stress included, where the long-range layer's method is
        "direct", "separable" or "mesh".

        Parameters
        ----------
        graph : one structure or a batch.
        fixed_cells : the cells will stay exactly these.
        """
        settings = {"n_latent": self.n_long_range, "fixed_cells": fixed_cells}
        with torch.inference_mode(False), torch.no_grad():  # plans serve for training as well
            return make_plan(self.short_range, self.long_range, self._in_own_precision(graph), **settings)

    def forward(
        self,
        graph: Data,
        forces: bool = True,
        stress: bool = True,
        energies: bool = False,
        plan: ModelPlan | None = None,
        properties: Sequence[str] = (),
    ) -> dict[str, Tensor]:
        """Energies and their derivatives, with those of a baseline.

        Parameters
        ----------
        graph : one structure or a batch (sognet.data): `z` (N,), `pos` (N,3), `cell` (B,3,3), `pbc` (B,3),
            `edge_index` (2,E), `cell_shift` (E,3), for a batch `batch` (N,), with total_charge `charge` (B,); it may
            bring its `plan`, and a uniform `field` (B,3) in V/Å, which acts on the first latent as on a charge.
        forces, stress, energies : whether these are wanted.
        plan : from `plan(graph)`; by default that of the graph, or made on the way.
        properties : further ones of the first latent as a charge, of sognet.model.response.RESPONSES.

        Returns
        -------
        energy (B,) in eV and double precision, energy_short_range (B,) without the reference energies,
        energy_long_range (B,), latent (N,P); forces (N,3) in eV/Å and stress (B,3,3) in eV/Å³ with ASE's sign
        (of periodic directions; else zero) where wanted; `energies` (N,), which add up to the energy: each
        atom's reference and short-range energy and ½ Σ_p q_ip ∂E_LR/∂q_ip, its half of the long-range interaction.
        In training mode forces and stress can be differentiated again. With a baseline there is `energy_baseline` (B,),
        which is in energy and energy_short_range; where the graph brings what the baseline gives, it is not evaluated.
        `charges` (N,), `dipole` (B,3), `quadrupole` (B,3,3) and `born_effective_charges` (N,3,3) where wanted (see
        sognet.model.response), of the latents of this model alone. In a field there is `energy_field` (B,), a part of
        the energy: the work along open directions. Along periodic ones the field has forces and no energy. A baseline
        does not see the field.

        Raises
        ------
        ValueError : an unknown property, or one of charges where the model has no latents; properties or a field
            while compiling, or a baseline that would have to be evaluated.
        """
        responds = bool(properties) or "field" in graph
        # in inference mode nothing can be differentiated, so there would be no forces; compilers do not know it
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            with torch.inference_mode(False):
                out = self.forward(graph.clone(), forces, stress, energies, plan, properties)
            return {name: value.detach() for name, value in out.items()}
        if responds:
            check_responses(properties, self.latent_head is not None)
        if self.baseline is None:
            return self._trained_part(graph, forces, stress, energies, plan, properties)
        settings = {"forces": forces, "stress": stress, "energies": energies}
        part = baseline_part(self.baseline, graph, self.cutoff, **settings)
        out = self._trained_part(graph, **settings, plan=plan, properties=properties)
        add_baseline(out, part)
        return out

    def _trained_part(
        self,
        graph: Data,
        forces: bool,
        stress: bool,
        energies: bool,
        plan: ModelPlan | None,
        properties: Sequence[str],
    ) -> dict[str, Tensor]:
        """What `forward` gives but for a baseline."""
        responds = bool(properties) or "field" in graph
        if plan is None and "plan" in graph:
            plan = graph.plan
        graph = self._in_own_precision(graph, absolute=responds)

        def energies_of(moved: Data) -> dict[str, Tensor]:
            return self._energies(moved, energies, plan)

        return with_derivatives(energies_of, graph, forces, stress, properties, self.training)

    @torch.no_grad()
    def inputs_of_heads(self, graph: Data) -> Tensor:
        """What the networks of energies and latents get of the atoms of a graph, (N, n)."""
        graph = self._in_own_precision(graph)
        return self._inputs_of_heads(as_output(self.short_range(graph)).features, graph)

    @torch.no_grad()
    def features(self, graph: Data) -> Tensor:
        """Short-range features of the atoms of a graph (N, n_features), as the short-range model gives them."""
        return as_output(self.short_range(self._in_own_precision(graph))).features

    def long_range_latents(self, latent: Tensor, z: Tensor) -> Tensor:
        """Latents (N, P) of atoms with atomic numbers (N,) as the long-range layer takes them, (N, n_long_range)."""
        return latent if self.species_columns is None else self.species_columns(latent, z)

    def _in_own_precision(self, graph: Data, absolute: bool = False) -> Data:
        """The graph with positions and cell in the precision of the parameters, and with the structure of each atom,
        `batch`; the one passed in stays as it is. What is far from the origin is moved there, unless `absolute`.
        """
        graph = copied(graph)
        if "batch" not in graph:
            graph.batch = torch.zeros_like(graph.z)
        if graph.pos.dtype != self.dtype and not absolute:
            graph.pos = near_first_atom(graph.pos, graph.batch, len(graph.cell))
        graph.pos, graph.cell = graph.pos.to(self.dtype), graph.cell.to(self.dtype)
        return graph

    def _inputs_of_heads(self, features: Tensor, graph: Data) -> Tensor:
        """What both networks get of the short-range features, (N, n_features)."""
        if self.standardize:
            features = (features - self.feature_mean) / self.feature_std
        if self.total_charge:
            charge = graph.charge.to(features.dtype).reshape(-1, 1)
            features = torch.cat([features, charge.index_select(0, graph.batch)], dim=1)
        return features

    def _energies(self, graph: Data, of_atoms: bool, plan: ModelPlan | None) -> dict[str, Tensor]:
        """Energies and latents; of_atoms: the energies of the atoms as well."""
        batch, n_structures = graph.batch, len(graph.cell)
        of_edges = {} if plan is None or plan.short_range is None else {"plan": plan.short_range}
        of_cells = {} if plan is None or plan.long_range is None else {"plan": plan.long_range}
        if of_edges:
            graph.pos = nan_unless(plan.has_edges_of(graph), graph.pos, OTHER_EDGES)
        given = as_output(self.short_range(graph, **of_edges))
        features = self._inputs_of_heads(given.features, graph)
        atomic = given.energy if self.energy_head is None else self.energy_scale * self.energy_head(features)[:, 0]
        total = atomic.new_zeros(n_structures, dtype=torch.float64).index_add(0, batch, atomic.double())
        short_range = total.to(atomic.dtype)
        if self.latent_head is None:
            latent = features.new_zeros(len(features), 0)
        elif self.charges is not None:
            latent = self.latent_head(graph.z)
        else:
            latent = self.latent_unit * self.latent_head(features)
            if self.element_head is not None:
                latent = latent + self.element_head(graph.z)
            if self.neutralization is not None:
                latent = self.neutralization(latent, graph.z, graph.charge, batch)
        if of_atoms and not latent.requires_grad:
            latent.requires_grad_()
        if self.long_range is None:
            long_range = torch.zeros_like(short_range)
        else:
            in_columns = self.long_range_latents(latent, graph.z)
            long_range = self.long_range(in_columns, graph.pos, graph.cell, graph.pbc, batch, **of_cells)
        composition = self.composition(graph.z, batch, n_structures)
        out = {
            "energy": composition + total + long_range.double(),
            "energy_short_range": short_range,
            "energy_long_range": long_range,
            "latent": latent,
        }
        if of_atoms:
            out["energies"] = self._per_atom(graph.z, batch, atomic, out)
        return out

    def _per_atom(self, z: Tensor, batch: Tensor, atomic: Tensor, out: dict[str, Tensor]) -> Tensor:
        """Energies of the atoms (N,); what a layer not quadratic in the latents leaves is shared out equally."""
        energies = self.composition.table.index_select(0, z) + atomic.detach().double()
        long_range, latent = out["energy_long_range"], out["latent"]
        if not long_range.requires_grad:
            return energies
        (potential,) = torch.autograd.grad(long_range.sum(), latent, retain_graph=True)
        shares = (latent.detach() * potential).sum(1).double() / 2
        totals = energies.new_zeros(len(long_range)).index_add(0, batch, shares)
        left = (long_range.detach().double() - totals) / batch.bincount(minlength=len(totals))
        return energies + shares + left.index_select(0, batch)


def as_baseline(model: nn.Module) -> "SOGNet | CalculatorBaseline":
    """Frozen SOGNet of one that is trained, or of a short-range model with energies of its own; a calculator as it is.

    Raises
    ------
    ValueError : a short-range model that gives no energies.
    """
    if not isinstance(model, SOGNet | CalculatorBaseline):
        model = SOGNet(model)
        if model.energy_head is not None:
            raise ValueError(f"the baseline {type(model.short_range).__name__} gives no energies of its own")
    return model.eval().requires_grad_(False)


def _forget_identity(model: SOGNet, *_: object) -> None:
    """The hash of a model that is loaded is computed anew, once its weights are in place."""
    model._identity = None


def _rename_old_buffers(_: nn.Module, state: dict[str, Tensor], prefix: str, *__: object) -> None:
    """Read the weights of versions up to 0.1.0."""
    if (old := f"{prefix}feature_deviation") in state:
        state[f"{prefix}feature_std"] = state.pop(old)
