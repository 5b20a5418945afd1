"""What a summary says, in sentences: errors beside the spread of the data, what was learned, what to try next."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from sognet.analysis.decay_uncertainty import DeterminedDecay
from sognet.analysis.kernel_inspection import sentence
from sognet.analysis.long_range_share import error_rise
from sognet.analysis.numbers import readable
from sognet.targets import TARGETS, Target, further_targets

MISFIT = 0.2
"""Relative deviation from the fitted power law from which on a kernel is none."""

OVERFITTED = 1.5
"""Error of the validation split over that of the training split from which on more data help."""

CANCELLED = 2.0
"""Changes of the long-range energy over those of the interaction energy, beyond which short and long range cancel."""

OFFSET = 0.3
"""Energy error without an offset over that with it, below which the offset is what there is to say."""

GOOD = 0.1
"""Error over the spread below which nothing is suggested where the error falls no longer."""


def print_findings(summary: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the sentences, the warnings last."""
    console = console or Console()
    for line in (*sentences(summary), *(f"next: {line}" for line in suggestions(summary))):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    for line in warnings(summary):
        console.print(f"warning: {line}", soft_wrap=True, markup=False, highlight=False, style="bold red")


def sentences(summary: Mapping[str, Any]) -> Iterator[str]:
    """What the errors are, whether they were falling, and what the long-range layer does."""
    split = reported_split(summary)
    told = [TARGETS["forces"], TARGETS["energy"], TARGETS["stress"], *further_targets()]
    parts = [text for target in told if (text := _error(summary, split, target))]
    if parts:
        yield f"{split}: {', '.join(parts)}"
    if of_baseline := summary.get("baseline", {}).get(split):
        yield f"{split}, the baseline alone: forces {readable(of_baseline['force_rmse'])} meV/Å"
    if _is_offset(summary, split):
        offset = summary["energy_offset"]
        yield (
            f"energies differ by a constant of {offset['per_atom']:.3g} eV per atom; without it the error is "
            f"{readable(offset['rmse_without'])} meV/atom: reference energies or settings of the electronic structure "
            "are not those of the training. Compare differences of energies, or fine-tune with start_from="
        )
    if learning := summary.get("learning"):
        yield _outlook(learning)
    yield from _long_range(summary)


def reported_split(summary: Mapping[str, Any]) -> str:
    """The split whose errors say how good a model is: the test's, else the next that was not trained on."""
    return next(s for s in ("test", "val", "all", "train") if s in summary)


def warnings(summary: Mapping[str, Any]) -> Iterator[str]:
    """What makes a model useless."""
    split = reported_split(summary)
    error, spread = summary[split].get("force_rmse"), _spread(summary, split).get("force_spread")
    advice = "Look at sognet data inspect, train longer, or lower optimizer.lr"
    if "train" not in summary:
        advice = "Look at sognet data inspect; the structures or their calculation may be unlike those of the training"
    if error and spread and error > spread:
        yield (
            f"the force error of {split}, {readable(error)} meV/Å, is above the spread of the forces themselves, "
            f"{readable(spread)}: predicting zero would be better. {advice}"
        )


def suggestions(summary: Mapping[str, Any]) -> Iterator[str]:
    """What to try next, by what limits the error."""
    learning = summary.get("learning")
    errors = {s: summary[s].get("force_rmse") for s in ("train", "val") if s in summary}
    train, val = errors.get("train"), errors.get("val")
    spread = _spread(summary, "val").get("force_spread")
    if learning and learning["falling"]:
        yield "train longer: the error was falling (time=, or epochs=)"
    elif train and val and val > OVERFITTED * train:
        yield (
            f"more structures: the error of the training split, {readable(train)} meV/Å, is well below that of the "
            f"validation split, {readable(val)}"
        )
    elif learning and val and spread and val > GOOD * spread:
        yield "a larger model or cutoff: the error falls no longer, and that of the training split is no lower"
    split = reported_split(summary)
    energy, of_energies = summary[split].get("energy_rmse"), _spread(summary, split).get("energy_spread")
    advice = "give them more weight (loss.energy), or train longer"
    if "train" not in summary:
        advice = "the structures or their calculation may be unlike those of the training"
    if energy and of_energies and energy > of_energies and not _is_offset(summary, split):
        yield (
            f"the energy error of {split}, {readable(energy)} meV/atom, is above the spread of the energies, "
            f"{readable(of_energies)}: {advice}"
        )
    shares, error = summary.get("long_range"), summary[reported_split(summary)].get("force_rmse")
    if shares and error and shares["long_range_force_rms"] < error:
        yield "compare with model/long_range=none: the long-range forces are smaller than the error of the forces"


def _spread(summary: Mapping[str, Any], split: str) -> Mapping[str, float]:
    return summary.get("spread", {}).get(split, {})


def _is_offset(summary: Mapping[str, Any], split: str) -> bool:
    """Whether the energy error is little but a constant of each element."""
    offset, error = summary.get("energy_offset"), summary[split].get("energy_rmse")
    spread = _spread(summary, split).get("energy_spread") or 0.0
    return bool(offset and error and error > spread and offset["rmse_without"] < OFFSET * error)


def _error(summary: Mapping[str, Any], split: str, target: Target) -> str:
    """For instance `forces 33.0 of 812 meV/Å (R² 0.998)`."""
    if (rmse := summary[split].get(f"{target.label}_rmse")) is None:
        return ""
    spread, r2 = (_spread(summary, split).get(f"{target.label}_{name}") for name in ("spread", "r2"))
    if spread is None:
        return f"{target.name} {readable(rmse)} {target.unit}"
    return f"{target.name} {readable(rmse)} of {readable(spread)} {target.unit} (R² {_determination(r2)})"


def _determination(r2: float) -> str:
    """As many digits as tell it from 1."""
    if r2 < 0:
        return "below 0"
    texts = (f"{r2:.{digits}f}" for digits in (3, 4, 5))
    return next((t for t in texts if not t.startswith("1")), "above 0.99999")


def _outlook(learning: Mapping[str, Any]) -> str:
    low, high = learning["tenfold"]
    unit = next(t.unit for t in TARGETS.values() if f"{t.label}_rmse" == learning["target"])
    now = f"validation error {readable(learning['end'])} {unit}"
    if not learning["falling"]:
        return f"{now}: it did not fall in the middle of the run, so that more time alone is unlikely to help"
    expected = " to ".join(dict.fromkeys(readable(value, 2) for value in (low, high)))
    return (
        f"{now}: it fell by {100 * learning['fall']:.0f} % from a third to two thirds of the time; ten times the time "
        f"may bring it to {expected} (extrapolated from this one curve)"
    )


def _long_range(summary: Mapping[str, Any]) -> Iterator[str]:
    shares = summary.get("long_range")
    if shares and shares["force_rms"] > 0:
        of_forces = 100 * shares["long_range_force_rms"] / shares["force_rms"]
        share = summary["long_range_energy_share"]
        variation = shares.get("energy_variation")
        text = f"long range: {readable(of_forces, 2)} % of the forces"
        if variation is not None and variation > CANCELLED:
            yield (
                f"{text}; from structure to structure its energy changes {readable(variation, 2)} times as much as the "
                "interaction energy, and the short range undoes that (correlation "
                f"{shares['energy_correlation']:.3f}): neither means anything by itself"
            )
        elif variation is None and share > CANCELLED:
            yield (
                f"{text}; its energy is {readable(share, 2)} times the interaction energy, so that short and long "
                "range cancel and neither means anything by itself"
            )
        else:
            yield f"{text}, {readable(100 * share, 2)} % of the interaction energy"
    others = {n: v for n, v in summary.get("diagnostics", {}).items() if not n.startswith("kernel/")}
    if others:
        yield f"long-range layer: {', '.join(f'{name} {readable(value)}' for name, value in others.items())}"
    several = len(summary.get("kernel", ())) > 1
    for number, decay in enumerate(summary.get("kernel", ())):
        channel = decay.get("channel", number)
        yield f"long-range kernel{f' {channel}' if several else ''}: {_kernel(decay, summary, number)}"
    for channel, values in enumerate(summary.get("determined_decay", ())):
        decay = DeterminedDecay(**values)
        if decay.error is not None:
            text = sentence(decay, summary["kernel"][channel]["r_min"], summary.get("charges_known", False))
            name = summary["kernel"][channel].get("channel", channel)
            yield f"what these forces determine{f' of kernel {name}' if several else ''}: {text}"


def _kernel(decay: Mapping[str, Any], summary: Mapping[str, Any], number: int) -> str:
    """What the kernel of a number is now; whether the forces determine it is said apart, where that was looked at."""
    now, start, status = _law(decay["exponent"]), decay.get("initial_exponent"), decay.get("status", "found")
    began = f"it began as {_law(start)}" if start is not None else "it began otherwise"
    span = f"from {decay['r_min']:.1f} to {decay['r_max']:.1f} Å"
    if status == "fixed":
        return f"{now} {span}, not trained"
    if status == "hidden":
        return f"not visible in these structures, which have no distance beyond the cutoff of {decay['r_min']:.1f} Å"
    if status == "unchanged":
        return f"{now} {span}, as it began: training has not changed it, so this is no finding"
    if status == "undetermined":
        error = summary[reported_split(summary)]["force_rmse"]
        rise = 100 * error_rise(summary["long_range"]["decay_sensitivity"], error)
        amount = readable(rise, 2) if rise > 0.1 else "less than 0.1"
        if number < len(said := summary.get("determined_decay", ())) and said[number].get("error") is not None:
            return f"{now} {span} ({began}), where 0.5 more or less would raise the force error by {amount} %"
        return (
            "not determined at this accuracy: an exponent that is 0.5 larger or smaller would raise the force error by "
            f"{amount} % (now {now}, {began})"
        )
    if decay["exponent"] <= 0 or decay.get("misfit", 0.0) > MISFIT:
        return f"no power law {span} ({began})"
    strength = ""
    if summary.get("charges_known"):
        strength = f", strength {readable(decay['coulomb_ratio'])} of that of two charges e in vacuum"
    return f"learned {now} {span} (Coulomb: r^-1; {began}){strength}"


def _law(exponent: float) -> str:
    return f"r^{-exponent:.2f}"
