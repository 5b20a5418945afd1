"""What the data determine of the kernel of a trained model, in numbers and in sentences."""

import copy
import dataclasses
import logging
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import t as student

from sognet.analysis.decay_forces import force_columns
from sognet.analysis.decay_uncertainty import FEWEST_STRUCTURES, DeterminedDecay, determined_decay
from sognet.analysis.numbers import readable
from sognet.data.splits import Splits
from sognet.data.structure import Structure
from sognet.long_range.decay import Boxes, kernel_of
from sognet.long_range.ladder import ladder_widths
from sognet.model import SOGNet

STRUCTURES = 24
"""Structures that are looked at, with at most ATOMS atoms in all."""

ATOMS = 4_000

logger = logging.getLogger(__name__)


def inspected_structures(splits: Splits, structures: int = STRUCTURES, atoms: int = ATOMS) -> list[Structure]:
    """Structures with forces, evenly spaced, of validation and test; of training as well where these are too few."""
    known = [s for _, members in inspected_splits(splits) for s in members]
    if not known:
        return []
    affordable = int(atoms / np.mean([len(s) for s in known]))
    places = np.linspace(0, len(known) - 1, max(1, min(structures, affordable)))
    return [known[i] for i in np.unique(places.round().astype(int))]


def inspected_splits(splits: Splits) -> list[tuple[str, list[Structure]]]:
    """Names of the splits that are looked at, with their structures with forces; empty ones are left out."""
    with_forces = {name: [s for s in members if s.forces is not None] for name, members in splits}
    names = ["test", "val"]
    if sum(len(with_forces.get(name, ())) for name in names) < FEWEST_STRUCTURES:
        names.append("train")
    return [(name, with_forces[name]) for name in names if with_forces.get(name)]


def determined_decays(
    model: SOGNet, structures: Sequence[Structure], boxes: Boxes, seconds: float = math.inf
) -> list[DeterminedDecay]:
    """For each channel of the kernel of a model in double precision; empty where it has none.

    Raises
    ------
    TimeoutError : the structures take more seconds of a processor, or the first more than its share.
    """
    kernel = kernel_of(model.long_range)
    if kernel is None:
        return []
    if boxes.length / 2 <= model.cutoff:
        return [DeterminedDecay("hidden", r_min=model.cutoff)] * kernel.n_channels
    if not structures:
        return [DeterminedDecay("undetermined", r_min=model.cutoff)] * kernel.n_channels
    widths = ladder_widths(model.cutoff, boxes.length)
    r_max = max(boxes.length / 3, 1.5 * model.cutoff)
    elements = {number for structure in structures for number in structure.numbers.tolist()}
    end, allowed, by_structure = time.process_time() + seconds, seconds / len(structures), []
    for structure in structures:
        by_structure.append(force_columns(model, structure, widths, elements, allowed))
        allowed = end - time.process_time()  # the first tells whether it can be done
    by_channel = zip(*by_structure, strict=True)
    return [determined_decay(of_channel, widths, model.cutoff, r_max) for of_channel in by_channel]


def decays_within(
    model: SOGNet, structures: Sequence[Structure], boxes: Boxes, seconds: float
) -> list[DeterminedDecay]:
    """The same for a model of any precision; nothing where it cannot be had within some seconds of a processor.

    A report goes on without it, so that a model that cannot be copied, taken to double precision or derived by its
    parameters is logged and no error.
    """
    if len(structures) < FEWEST_STRUCTURES:
        return []
    try:
        model = copy.deepcopy(model).double().eval()
        return determined_decays(model, structures, boxes, seconds)
    except TimeoutError:
        return []
    except Exception as error:
        logger.warning("what the forces determine of the kernel is left out: %s: %s", type(error).__name__, error)
        return []


def combined(members: Sequence[DeterminedDecay]) -> DeterminedDecay:
    """Of a committee: the mean exponent of the members that found one, if most did.

    The interval has the members' mean one and, by Student's t, that of the mean from their spread.
    """
    found = [m for m in members if m.status == "found"]
    if len(members) == 1 or 2 * len(found) <= len(members):
        statuses = [m.status for m in members]
        return members[statuses.index(max(statuses, key=statuses.count))]
    exponents = np.array([m.exponent for m in found])
    n, own = len(found), float(np.mean([m.exponent_uncertainty for m in found]))
    spread = float(student.ppf(0.975, n - 1) * exponents.std(ddof=1) / math.sqrt(n)) if n > 1 else 0.0
    means = {
        name: float(np.mean([getattr(m, name) for m in found]))
        for name in ("strength", "learned_exponent", "beyond_short_range", "error")
    }
    return dataclasses.replace(
        found[0],
        exponent=float(exponents.mean()),
        exponent_uncertainty=math.hypot(own, spread),
        r_max=min(m.r_max for m in found),
        **means,
    )


def as_numbers(decay: DeterminedDecay) -> dict[str, Any]:
    """What goes into JSON: all but the curves."""
    values = vars(decay).items()
    return {k: v if isinstance(v, str | int) else float(v) for k, v in values if v is not None and np.ndim(v) == 0}


def sentence(decay: DeterminedDecay, cutoff: float, charges_known: bool = False) -> str:
    """What to read of a channel."""
    if decay.status == "hidden":
        return f"not visible in these structures, which have no distance beyond the cutoff of {cutoff:.1f} Å"
    if decay.error is None:
        return f"not determined: {decay.reason or 'no structure has forces'}"
    forces = (
        f"{readable(decay.beyond_short_range)} meV/Å of the forces cannot be of short range; "
        f"{readable(decay.error)} meV/Å are left as error"
    )
    if decay.status == "none":
        return f"no long range: nothing beyond {cutoff:.1f} Å is seen in these data ({forces})"
    if decay.status == "undetermined":
        return f"not determined by these data ({forces})"
    span = f"between {decay.r_min:.1f} and {decay.r_max:.1f} Å"
    if decay.status == "no_power_law":
        if not len(decay.distances):
            return f"no power law {span} ({forces})"
        low, high = np.quantile(decay.local_exponents[decay.distances <= decay.r_max], (0.05, 0.95))
        return f"no power law {span}: the local exponent goes from {low:.1f} to {high:.1f} ({forces})"
    strength = f", strength {readable(decay.strength)} of that of two charges e in vacuum" if charges_known else ""
    return f"{law(decay)} {span} (95 %){strength} ({forces})"


def law(decay: DeterminedDecay) -> str:
    """For instance r^(-1.05 ± 0.06)."""
    digits = 1 if decay.exponent_uncertainty >= 0.2 else 2
    return f"r^({-decay.exponent:.{digits}f} ± {decay.exponent_uncertainty:.{digits}f})"


def cancellation(balance: dict[str, float]) -> str | None:
    """How much of the long-range energy the short range takes back, from `long_range_variation`."""
    if "energy_cancelled" not in balance:
        return None
    share, times = balance["energy_cancelled"], balance["energy_variation"]
    text = (
        f"from structure to structure the long-range energy changes {readable(times, 2)} times as much as the "
        f"interaction energy, and the short range takes back {100 * share:.0f} % of its changes"
    )
    if share < 0.5:
        return text
    return (
        f"{text}: the kernel fills what the short range leaves, and neither means anything by itself. "
        "A start that the cutoff hides takes less of it, model.long_range.cutoff=<twice the short range's>; "
        "module.kernel_weight_decay leaves to the short range what it describes as well"
    )
