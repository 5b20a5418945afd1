"""`sognet reduce`: a checkpoint whose kernel has fewer Gaussians."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from sognet.analysis.long_range_share import channel_names
from sognet.analysis.predictions import predict
from sognet.data import Keys, Structure, Units, read_structures
from sognet.errors import InputError
from sognet.evaluation.checkpoints import find_checkpoints
from sognet.long_range.decay import kernel_of
from sognet.long_range.reduction import reduce_kernel
from sognet.model import SOGNet, load_model
from sognet.model.checkpoint import PREFIX, as_device, model_entry
from sognet.trust import trusted_names


def reduce_checkpoint(config: DictConfig) -> None:
    """Write `reduced.ckpt` with the shortest kernel that keeps the tolerance, and print what changes.

    Where none is shorter the file has the same model.

    With `path` also the largest changes of energies and forces of these structures; where all of them are periodic in
    three directions they say which Gaussians no mode sees.

    Raises
    ------
    InputError : a checkpoint or the file cannot be used, or the model has no kernel of Gaussians.
    """
    checkpoints = find_checkpoints(config)
    if len(checkpoints) > 1:
        raise InputError(f"sognet reduce takes one checkpoint, and {len(checkpoints)} are named")
    model = load_model(checkpoints[0], as_device(config.device), None, trusted_names(config.trust))
    kernel = kernel_of(model.long_range)
    if kernel is None:
        raise InputError(f"{checkpoints[0]}: the model has no kernel that is a sum of Gaussians")
    structures = []
    if config.path:
        keys = Keys(energy=None, forces=None, stress=None, charge=config.charge_key or model.charge_key)
        structures = read_structures(config.path, keys, config.format, Units(length=config.length_unit))
    box = config.box or longest_period(structures)
    if np.any(getattr(model.long_range, "include_zero_mode", False)):
        box = None  # the mode zero sees all Gaussians
    keep_self = getattr(model.long_range, "remove_self_interaction", False)
    before = list(predict(model, structures, config.batch_size))
    print(f"looking for fewer than {kernel.n_gaussians} Gaussians, which takes up to a minute", flush=True)
    try:
        shorter, changes = reduce_kernel(kernel, config.tolerance, box, keep_self)
    except ValueError as error:
        raise InputError(str(error)) from None
    model.long_range.kernel = shorter.to(model.device)
    after = list(predict(model, structures, config.batch_size))
    file = Path(config.folder).absolute() / "reduced.ckpt"
    save(model, file)
    seen = "any structures" if box is None else f"periods up to {box:.3g} Å"
    if shorter is kernel:
        print(f"no shorter kernel keeps the tolerance of {config.tolerance:g} for {seen}: the model stays as it is")
    else:
        for channel, change in zip(channel_names(model, len(changes)), changes, strict=True):
            print(
                f"channel {channel}: {kernel.n_gaussians} -> {shorter.n_gaussians} Gaussians, "
                f"k²ĝ(k) changes by {change:.1e} of its largest value, for {seen}"
            )
    if structures:
        energies = max(abs(a.energy - b.energy) / len(b.structure) for a, b in zip(after, before, strict=True))
        forces = max(np.abs(a.forces - b.forces).max() for a, b in zip(after, before, strict=True))
        print(
            f"{len(structures)} structures: energies change by at most {1000 * energies:.2g} meV/atom, "
            f"forces by {1000 * forces:.2g} meV/Å"
        )
    print(file)


def longest_period(structures: Sequence[Structure]) -> float | None:
    """Longest lattice vector in Å of structures that are periodic in all directions; None where some are not."""
    if not structures or not all(s.pbc.all() for s in structures):
        return None
    return float(max(np.linalg.norm(s.cell, axis=1).max() for s in structures))


def save(model: SOGNet, file: Path) -> None:
    """A checkpoint of a model alone: for evaluation, prediction, simulation and `start_from`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    weights = {f"{PREFIX}{name}": value.cpu() for name, value in model.state_dict().items()}
    torch.save({"sognet": model_entry(model), "state_dict": weights}, file)
