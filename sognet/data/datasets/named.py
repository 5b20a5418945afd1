"""The splits of a `dataset` group: a data set of this package, or a function of one's own that returns `Splits`."""

import inspect
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import OmegaConf

from sognet.data.datasets import DATA_SETS
from sognet.data.splits import Splits
from sognet.data.structure import Structure
from sognet.errors import InputError
from sognet.trust import OWN, import_trusted, resolve


def read_splits(dataset: Mapping[str, Any], trust: str | Iterable[str] = ()) -> Splits:
    """Call the function that `_target_` names with the other settings, after importing what is trusted.

    Parameters
    ----------
    dataset : the group, its values plain.
    trust : modules and packages outside this one whose functions may be called.

    Raises
    ------
    InputError : no such function, one that is not trusted, other settings than it takes, or something else than
        `Splits` in return.
    """
    import_trusted(trust)
    settings = OmegaConf.to_container(dataset, resolve=True) if OmegaConf.is_config(dataset) else dict(dataset)
    target = settings.pop("_target_", None)
    if not isinstance(target, str):
        raise InputError("no data set: set dataset=files dataset.path=<file>, or dataset._target_=mypackage.my_set")
    read = data_set(target, trust)
    try:
        inspect.signature(read).bind(**settings)
    except TypeError as error:
        raise InputError(f"dataset: {target}: {error}; dataset=custom sets nothing but its _target_") from None
    try:
        splits = read(**settings)
    except InputError:
        raise
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        raise InputError(
            f"dataset: {target}: {type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        ) from error
    if not isinstance(splits, Splits):
        raise InputError(f"dataset: {target} gives a {type(splits).__name__}; it must return sognet.data.Splits")
    if not len(splits.train) + len(splits.val) + len(splits.test):
        raise InputError(f"dataset: {target} gives no structures")
    for name, structures in splits if target.partition(".")[0] != OWN else ():
        if not isinstance(structures[0], Structure):
            kind = type(structures[0]).__name__
            raise InputError(
                f"dataset: {target}: {name} holds {kind}; make each a Structure, of ASE's atoms by "
                "Structure.from_atoms(atoms, Keys(), source)"
            )
    return splits


def data_set(target: str, trust: str | Iterable[str] = ()) -> Any:
    """Function of an import path that a dataset group may name.

    Raises
    ------
    InputError : one of this package that is no data set, or another that is not trusted or not there.
    """
    module, _, name = target.rpartition(".")
    if module == "sognet.data" and name in DATA_SETS:
        return DATA_SETS[name]
    if target.partition(".")[0] == OWN:
        raise InputError(f"dataset._target_={target}: the data sets of sognet.data are {', '.join(DATA_SETS)}")
    return resolve(target, trust, "dataset._target_")
