"""`sognet data inspect`: what is in a data set, and what of it looks like a mistake."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase.cell import Cell
from ase.data import chemical_symbols, covalent_radii
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.table import Table
from vesin import NeighborList

from sognet.data.datasets.named import read_splits
from sognet.data.inspection.first_look import in_order_of_files, of_repeated, of_training_split
from sognet.data.inspection.outliers import find_outliers, sentences
from sognet.data.inspection.repeated import duplicates
from sognet.data.inspection.sanity_checks import sanity_warnings
from sognet.data.inspection.stress_checks import stress_notes
from sognet.data.inspection.unread_charges import of_unread_charges
from sognet.data.splits import Splits, TooFewStructuresError, fill_defaults
from sognet.data.structure import Structure
from sognet.trust import trusted_names

NEARBY = 6.0  # Å, within which nearest distances are looked for
SHOWN = 5  # examples that are printed; the file has all


def run(config: DictConfig) -> None:
    """Inspect the data set of a configuration; print a table and write `inspection.json` into its folder."""
    with open_dict(config):
        if "skip_invalid" in config.dataset:
            config.dataset.skip_invalid = True  # what cannot be used is listed, not raised
        for source in (config.dataset.get("sources") or {}).values():
            source.skip_invalid = True
    found = inspect(_splits(config.dataset, trusted_names(config.trust)))
    folder = Path(config.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "inspection.json"
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print_inspection(found)
    print(f"everything is in {file}")


def _splits(dataset: DictConfig, trust: list[str]) -> Splits:
    """The splits as training draws them; all structures as one where they are too few to split."""
    settings = OmegaConf.to_container(dataset, resolve=True)
    filled = dict(settings)
    fill_defaults(filled)
    try:
        return read_splits(filled, trust)
    except TooFewStructuresError:
        fractions = [name for name in ("val_fraction", "test_fraction") if name in settings]
        return read_splits(filled | dict.fromkeys(fractions, 0.0), trust)


def inspect(splits: Splits) -> dict[str, Any]:
    """What there is by split, duplicates, skipped structures and warnings, as plain values."""
    distances = {split: [nearest_distances(s) for s in structures] for split, structures in splits}
    repeated = list(duplicates(splits))
    ratios = [d / _covalent(p) for found in distances.values() for one in found if one for d, p in [_tightest(one)]]
    in_order = in_order_of_files(splits)
    standing_out = find_outliers(in_order)
    said = [
        *sanity_warnings(in_order, ratios),
        *of_unread_charges(in_order),
        *sentences(standing_out),
        *of_repeated(repeated),
        *of_training_split(splits.train),
    ]
    counts = Counter(d.splits for d in repeated)
    return {
        "name": splits.name,
        "splits": {split: contents(structures, distances[split]) for split, structures in splits},
        "duplicates": {
            "within": {a: n for (a, b), n in counts.items() if a == b},
            "across": {f"{a}, {b}": n for (a, b), n in counts.items() if a != b},
            "pairs": [asdict(d) for d in repeated],
        },
        "outliers": [asdict(o) for o in standing_out],
        "skipped": splits.skipped,
        "notes": list(stress_notes(in_order)),
        "warnings": said,
    }


def contents(structures: Sequence[Structure], distances: Sequence[dict[tuple[str, str], float]]) -> dict[str, Any]:
    """Counts and ranges of a split's structures; energies in eV/atom, forces in eV/Å, distances in Å."""
    sizes = np.array([len(s) for s in structures])
    elements = Counter(int(z) for s in structures for z in s.numbers)
    energies = np.array([s.energy / len(s) for s in structures if s.energy is not None])
    forces = [(np.square(s.forces).sum(1), s.source) for s in structures if s.forces is not None]
    pairs: dict[str, float] = {}
    for one in distances:
        for (a, b), distance in one.items():
            pairs[f"{a}-{b}"] = min(distance, pairs.get(f"{a}-{b}", np.inf))
    found: dict[str, Any] = {
        "n_structures": len(structures),
        "n_atoms": {"min": int(sizes.min()), "mean": float(sizes.mean()), "max": int(sizes.max())},
        "elements": {chemical_symbols[z]: n for z, n in sorted(elements.items())},
        "n_compositions": len({tuple(np.sort(s.numbers)) for s in structures}),
        "periodic_directions": dict(sorted(Counter(int(s.pbc.sum()) for s in structures).items())),
        "left_handed_cells": sum(bool(np.linalg.det(s.cell) < 0) for s in structures),
        "charges": {f"{q:g}": n for q, n in sorted(Counter(s.charge for s in structures).items())},
        "without": {t: sum(getattr(s, t) is None for s in structures) for t in ("energy", "forces", "stress")},
        "nearest_distances": dict(sorted(pairs.items())),
    }
    if len(energies):
        found["energy_per_atom"] = {
            "min": float(energies.min()),
            "mean": float(energies.mean()),
            "max": float(energies.max()),
        }
    if forces:
        squares = np.concatenate([f for f, _ in forces])
        strongest = max(forces, key=lambda f: f[0].max())
        found["forces"] = {
            "rms": float(np.sqrt(squares.mean() / 3)),
            "max": float(np.sqrt(strongest[0].max())),
            "max_in": strongest[1],
        }
    return found


def nearest_distances(structure: Structure) -> dict[tuple[str, str], float]:
    """Least distance in Å between atoms of each pair of elements, images included, up to 6 Å."""
    box = Cell(structure.cell).complete().array
    neighbours = NeighborList(cutoff=NEARBY, full_list=False)
    i, j, distance = neighbours.compute(structure.positions, box, structure.pbc.tolist(), quantities="ijd")
    pairs = np.sort(np.stack([structure.numbers[i], structure.numbers[j]]), axis=0)
    found = {}
    for a, b in np.unique(pairs, axis=1).T:
        of_pair = (pairs[0] == a) & (pairs[1] == b)
        found[chemical_symbols[a], chemical_symbols[b]] = float(distance[of_pair].min())
    return found


def print_inspection(found: dict[str, Any], console: Console | None = None) -> None:
    """Table of the splits, and lines for what looks like a mistake."""
    console = console or Console()
    table = Table(title=found["name"], title_justify="left")
    table.add_column("")
    for split in found["splits"]:
        table.add_column(split, justify="right")
    for label, row in _rows(list(found["splits"].values())).items():
        table.add_row(label, *row)
    console.print(table)
    n_duplicates = len(found["duplicates"]["pairs"])
    where = {**found["duplicates"]["within"], **found["duplicates"]["across"]}
    listed = ", ".join(f"{n} in {split}" for split, n in where.items())
    console.print(f"duplicates: {n_duplicates}{f' ({listed})' if listed else ''}", soft_wrap=True)
    console.print(f"structures that cannot be used: {len(found['skipped'])}", soft_wrap=True)
    for reason in found["skipped"][:SHOWN]:
        console.print(f"  {reason}", soft_wrap=True, markup=False)
    if len({charge for split in found["splits"].values() for charge in split["charges"]}) > 1:
        console.print("total charges vary: model.total_charge=true lets a model see them", soft_wrap=True)
    for note in found["notes"]:
        console.print(note, soft_wrap=True, markup=False)
    if not found["warnings"]:
        console.print("nothing looks like a mistake")
    for warning in found["warnings"]:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)


def _rows(splits: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    def span(name: str) -> list[str]:
        return [f"{s[name]['min']:g} – {s[name]['max']:g}" if name in s else "–" for s in splits]

    def listed(name: str) -> list[str]:
        return ["\n".join(f"{k} {v:.6g}" for k, v in s[name].items() if v) or "–" for s in splits]

    return {
        "structures": [str(s["n_structures"]) for s in splits],
        "atoms": span("n_atoms"),
        "compositions": [str(s["n_compositions"]) for s in splits],
        "atoms of": listed("elements"),
        "periodic directions": [", ".join(f"{k}: {n}" for k, n in s["periodic_directions"].items()) for s in splits],
        "left-handed cells": [str(s["left_handed_cells"]) for s in splits],
        "charge, e": [", ".join(f"{k}: {n}" for k, n in s["charges"].items()) for s in splits],
        "without": listed("without"),
        "energy, eV/atom": span("energy_per_atom"),
        "force rms, eV/Å": [f"{s['forces']['rms']:.4g}" if "forces" in s else "–" for s in splits],
        "force max, eV/Å": [f"{s['forces']['max']:.4g}" if "forces" in s else "–" for s in splits],
        "nearest, Å": listed("nearest_distances"),
    }


def _covalent(pair: tuple[str, str]) -> float:
    return float(sum(covalent_radii[chemical_symbols.index(s)] for s in pair))


def _tightest(distances: dict[tuple[str, str], float]) -> tuple[float, tuple[str, str]]:
    """Distance and elements of the pair that is nearest in terms of its covalent radii."""
    pair = min(distances, key=lambda p: distances[p] / _covalent(p))
    return distances[pair], pair
