"""The report of a committee: the errors of its mean and of its members, its uncertainty and the calibration of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sognet.analysis.comparison import print_comparison, write_comparison
from sognet.analysis.error_groups import breakdown, write_breakdown
from sognet.analysis.figures import calibration_figure, parity_figure, save_figure
from sognet.analysis.model_report import versions
from sognet.analysis.predictions import Prediction, split_errors, write_predictions
from sognet.analysis.spread import spreads
from sognet.analysis.uncertainty import calibration, energy_pairs, force_pairs, print_calibration
from sognet.model.committee import energy_uncertainty, forces_uncertainty


def committee_prediction(members: Sequence[Prediction]) -> Prediction:
    """Mean and uncertainty of the members' predictions for one structure.

    The latents of the members are put side by side: the energy is even in them, so that they have no common sign
    whose mean had a meaning.
    """
    first = members[0]
    forces = None if first.forces is None else np.stack([p.forces for p in members]).astype(float)
    stress = None if first.stress is None else np.mean([p.stress for p in members], axis=0, dtype=float)
    return Prediction(
        structure=first.structure,
        energy=float(np.mean([p.energy for p in members])),
        energy_short_range=float(np.mean([p.energy_short_range for p in members])),
        energy_long_range=float(np.mean([p.energy_long_range for p in members])),
        latent=np.hstack([p.latent for p in members]),
        forces=None if forces is None else forces.mean(0),
        stress=stress,
        energy_uncertainty=float(energy_uncertainty(np.array([p.energy for p in members]))),
        forces_uncertainty=None if forces is None else forces_uncertainty(forces),
        further={name: np.mean([p.further[name] for p in members], axis=0) for name in first.further},
    )


def report_committee(members: Mapping[str, Mapping[str, list[Prediction]]], folder: Path) -> dict[str, Any]:
    """Write the report of a committee; return what goes into `summary.json`.

    `predictions.extxyz` gets the mean and the uncertainty, `errors.md`, `.csv`, `.json` the errors of the mean,
    `comparison.md`, `.csv`, `.json` those of each member as well, `figures/` parity and calibration. The summary has
    the errors of the mean per split and for `all`, `calibration` by split for energy and forces, and `members`.

    Parameters
    ----------
    members : predictions by split of each member, by its name.
    """
    predictions = list(members.values())
    mean = {
        split: [committee_prediction(same) for same in zip(*(p[split] for p in predictions), strict=True)]
        for split in predictions[0]
    }
    together = [p for of_split in mean.values() for p in of_split]
    labels = [split for split, of_split in mean.items() for _ in of_split]
    folder.mkdir(parents=True, exist_ok=True)
    write_predictions(folder / "predictions.extxyz", together, labels)
    write_breakdown(breakdown(mean), folder)
    summary: dict[str, Any] = split_errors(mean)
    summary["spread"] = {split: spreads(of_split) for split, of_split in (mean | {"all": together}).items()}
    errors_of = {name: split_errors(by_split) for name, by_split in members.items()}
    write_comparison(errors_of | {"committee": split_errors(mean)}, folder)
    summary["calibration"] = {
        split: {
            target: asdict(found)
            for target, pairs in (("energy", energy_pairs), ("forces", force_pairs))
            if (found := calibration(*pairs(of_split))) is not None
        }
        for split, of_split in (mean | {"all": together}).items()
    }
    figures = {
        "parity": save_figure(parity_figure(mean), folder / "figures" / "parity.png"),
        "calibration": save_figure(calibration_figure(mean), folder / "figures" / "calibration.png"),
    }
    return summary | {
        "members": errors_of,
        "figures": {name: str(path) for name, path in figures.items()},
        "versions": versions(),
    }


def print_committee(summary: Mapping[str, Any], title: str) -> None:
    """Tables of the members' and the committee's errors and of the calibration, from a summary."""
    print_comparison(summary["members"] | {"committee": summary}, f"{title}: members and committee")
    print_calibration(summary["calibration"])
    for name, path in summary["figures"].items():
        print(f"{name}: {path}")
