"""Published data sets that the user has to fetch: no checksum of their files is known, or no address of a file."""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pooch

from sognet.data.datasets.files import from_files
from sognet.data.splits import Splits
from sognet.errors import InputError

ROWS = Path(__file__).with_name("manual_download.json")


@cache
def manual_download_sets() -> dict[str, dict[str, Any]]:
    """Title, citation, page, copy (an address of the files, where one is known), license and files by name."""
    return json.loads(ROWS.read_text())


def from_manual_download(
    name: str | None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 0,
    energy_key: str | None = "energy",
    forces_key: str | None = "forces",
    charge_key: str | None = None,
    root: str | None = None,
) -> Splits:
    """A published data set from files that the user has put into the data folder.

    Parameters
    ----------
    name : one of manual_download_sets; the files are looked for in the folder of this name.
    val_fraction, test_fraction, seed : of the random split.
    energy_key, forces_key, charge_key : as in from_files; the copies that are known hold eV and eV/Å.
    root : folder of data sets (`paths.data`); by default the user's cache. SOGNET_DATA is a further place.

    Raises
    ------
    InputError : no such set, or a file is not there: says where to get it, what to cite and where to put it.
    """
    known = manual_download_sets()
    if name not in known:
        raise InputError(f"dataset.name must be one of {', '.join(known)}, got {name!r}")
    row = known[name]
    places = [Path(root) if root else Path(pooch.os_cache("sognet"))]
    places += [Path(mirror)] if (mirror := os.environ.get("SOGNET_DATA")) else []
    for place in places:
        files = [place / name / file for file in row["files"]]
        if all(f.is_file() for f in files):
            splits = from_files(
                [str(f) for f in files],
                val_fraction=val_fraction,
                test_fraction=test_fraction,
                seed=seed,
                energy_key=energy_key,
                forces_key=forces_key,
                charge_key=charge_key,
            )
            splits.name = name
            return splits
    copy = f" or, as extended XYZ, {row['copy']}" if row["copy"] else ""
    raise InputError(
        f"{row['title']}: this set is not downloaded automatically, because no checksum of its files is known. "
        f"Get it from {row['page']}{copy}, convert it to "
        f"extended XYZ in eV and Å where it is not, and put {' and '.join(row['files'])} into {places[0] / name}. "
        f"Licence: {row['license'] or 'not known, see there'}. Cite {row['citation']}"
    )
