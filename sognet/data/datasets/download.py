"""Public data sets: where each file is, its SHA-256 and its licence; downloads are checked, mirrors are used."""

import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pooch

from sognet.data.cache import made_once
from sognet.errors import InputError

logger = logging.getLogger(__name__)
REGISTRY = Path(__file__).with_name("registry.json")
CITATIONS = {
    "dimers": "K. Huguenin-Dumittan et al., J. Phys. Chem. Lett. 14, 9612 (2023)",
    "dipeptides": "P. Eastman et al., Sci. Data 10, 11 (2023); D. S. King et al., Nat. Commun. 16, 8763 (2025)",
    "water": "H. Wang, L. Zhang, J. Han, W. E, Comput. Phys. Commun. 228, 178 (2018)",
}
"""What to cite for a data set."""


@cache
def registry() -> dict[str, dict[str, Any]]:
    """Rows of the registry by file name: url, sha256, bytes, dataset, split, license."""
    return json.loads(REGISTRY.read_text())


def fetch(name: str, root: str | Path | None = None, rows: Mapping[str, Mapping[str, Any]] | None = None) -> Path:
    """Local path of a registered file, from a mirror or downloaded.

    Parameters
    ----------
    name : file as named in the registry, `dimers/train-id0.xyz`.
    root : folder where files are looked for and downloaded to (`paths.data`); by default the user's cache.
        The folder named by SOGNET_DATA is a further mirror.
    rows : the registry; by default the one of this package.

    Raises
    ------
    InputError : a local file with another checksum, a cache that cannot be written to, or a download that failed;
        says how to get the file by hand.
    """
    row = (rows or registry())[name]
    folder = Path(root) if root else Path(pooch.os_cache("sognet"))
    for mirror in (folder, os.environ.get("SOGNET_DATA")):
        if mirror and (path := Path(mirror) / name).is_file():
            if pooch.file_hash(str(path)) != row["sha256"]:
                raise InputError(f"{path}: not the published file (SHA-256 differs); delete it to download it again")
            return path
    target = folder / name
    advice = f"Fetch {row['url']} by hand and put it at {target}, or set paths.data or SOGNET_DATA to a folder with it"
    with made_once(target) as partial:
        if partial:
            cite = f", cite {CITATIONS[row['dataset']]}" if row.get("dataset") in CITATIONS else ""
            logger.info("downloading %s (%.1f MB, licence %s%s)", name, row["bytes"] / 1e6, row["license"], cite)
            try:  # a registry of pooch has no mirrors and licences, and replaces files that were changed
                pooch.retrieve(
                    row["url"],
                    known_hash=f"sha256:{row['sha256']}",
                    fname=partial.name,
                    path=partial.parent,
                    progressbar=False,
                )
            except Exception as error:  # network, disk and checksum errors of several libraries
                raise InputError(f"{name} could not be downloaded ({error}). {advice}") from error
    return target
