"""Models, data sets and layers of the user's own in a configuration: `<group>._target_=mypackage.name`."""

import inspect
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from sognet.data.datasets.named import data_set
from sognet.errors import InputError
from sognet.trust import is_trusted, resolve

NODES = {"dataset": (), "model.short_range": ("species", "cutoff"), "model.long_range": (), "model.baseline": ()}
"""Where the configuration names what may be of the user's own, and the settings that it takes over from the option that
it replaces.
"""

LIBRARIES = (
    "lightning.Trainer",
    *(
        f"lightning.pytorch.{part}"
        for part in ("callbacks", "loggers", "plugins", "profilers", "strategies", "trainer")
    ),
    "lightning.fabric.plugins",
    "torch.optim",
    "pytorch_optimizer",
)
"""Whose classes, beside what is trusted, the configuration of a run may name."""


def with_own_targets(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """Configuration in which a `_target_` typed on the command line has no settings of the option that it replaces,
    but those that are typed as well, and `species` and `cutoff`.
    """
    given = {o.lstrip("+").partition("=")[0] for o in overrides}
    config = OmegaConf.merge(config)
    for name, kept in NODES.items():
        node = OmegaConf.select(config, name)
        if f"{name}._target_" in given and node is not None:
            with open_dict(node):
                for key in list(node):
                    typed = any(g == f"{name}.{key}" or g.startswith(f"{name}.{key}.") for g in given)
                    if key not in ("_target_", *kept) and not typed:
                        del node[key]
    return config


def check_own_targets(config: DictConfig, trust: Iterable[str]) -> None:
    """Raise an InputError where the model or the data set names code that could not be loaded again."""
    for name in ("model", *NODES):
        node = OmegaConf.select(config, name)
        if node is None:
            continue
        if OmegaConf.is_missing(node, "_target_"):
            raise InputError(f"{name.replace('.', '/', 1)}=custom needs {name}._target_=mypackage.name")
        if not isinstance(node.get("_target_"), str):
            continue
        if name == "dataset":
            data_set(node._target_, trust)
        else:
            resolve(node._target_, trust, f"{name}._target_")
        if missing := [key for key in node if OmegaConf.is_missing(node, key)]:
            raise InputError(f"{name}.{missing[0]} has no value; set {name}.{missing[0]}=…")


def check_saved_targets(config: DictConfig, trust: Iterable[str]) -> None:
    """Raise an InputError where the configuration of a run's folder names code that is not trusted: the folder may be
    a stranger's.
    """
    for target in _targets(config):
        library = is_trusted(target, LIBRARIES) and not is_trusted(target, trust)
        if library and not inspect.isclass(resolve(target, (*trust, *LIBRARIES))):
            raise InputError(f"{target}: the configuration of a run names classes of {target.split('.')[0]} only")
        if not library:
            resolve(target, trust)


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, DictConfig):
        for key, value in node.items_ex(resolve=False):
            if key == "_target_" and isinstance(value, str):
                yield value
            else:
                yield from _targets(value)
    elif isinstance(node, ListConfig):
        for value in node:
            yield from _targets(value)
