"""The wandb run of a training: online where the user is logged in, with the best checkpoint as an artifact."""

import logging
import netrc
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.loggers.logger import rank_zero_experiment
from lightning.pytorch.utilities import rank_zero_only

from sognet.errors import InputError

logger = logging.getLogger(__name__)

ANSWER_WITHIN = 20.0
"""Seconds within which the server must have answered."""


class WandbRun(WandbLogger):
    """Lightning's wandb logger, that chooses between online and offline itself.

    A training that is resumed goes on in its wandb run where that is online; offline it starts another. `log_model` of
    Lightning is not used for the artifact: it takes the checkpoint of whichever callback saved last.

    Parameters
    ----------
    save_dir : the run folder; wandb writes to `wandb/` in it.
    offline : "auto" is online where wandb knows the user (see `logged_in`) and its server answers, unless WANDB_MODE
        or `wandb offline` say otherwise; true or false decide it.
    settings : of lightning.pytorch.loggers.WandbLogger and wandb.init.

    Raises
    ------
    InputError : `offline` is something else.
    """

    def __init__(self, save_dir: str | Path, offline: bool | Literal["auto"] = "auto", **settings: Any) -> None:
        if offline not in ("auto", True, False):
            raise InputError(f"logger.wandb.offline must be auto, true or false, got {offline!r}")
        super().__init__(save_dir=str(save_dir), **settings)
        self._wandb_init.pop("anonymous", None)  # Lightning always passes it, wandb warns of it
        self.where = offline

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The wandb run, begun when it is first asked for.

        Raises
        ------
        InputError : `offline=false`, and the wandb login fails.
        """
        if self._experiment is None:
            if wandb.run is not None:  # of a training in this process that failed
                wandb.finish(exit_code=1)
            self._begin()
        return super().experiment

    @rank_zero_only
    def close(self, checkpoint: Path, errors: Mapping[str, Any]) -> None:
        """Add a checkpoint, with its errors, as the artifact `model-<id>`; end the run and print where it is."""
        run = self.experiment
        if run.disabled:
            return
        artifact = wandb.Artifact(f"model-{run.id}", type="model", metadata=dict(errors))
        artifact.add_file(str(checkpoint), policy="immutable", skip_cache=True)
        run.log_artifact(artifact, aliases=["best"])
        run.finish()
        self._experiment = None
        print(f"upload to wandb with: wandb sync {Path(run.dir).parent}" if run.offline else f"wandb: {run.url}")

    def _begin(self) -> None:
        chosen = wandb.setup().settings.mode
        if self.where is True or (self.where == "auto" and chosen == "online" and not logged_in()):
            self._go_offline()
        elif self.where is False or chosen == "online":
            earlier = sorted(Path(self._save_dir).glob("wandb/run-*"))
            self._wandb_init["mode"] = "online"
            self._wandb_init["id"] = self._id or (earlier[-1].name.rpartition("-")[2] if earlier else None)
            self._wandb_init.setdefault("settings", wandb.Settings(init_timeout=ANSWER_WITHIN))
        try:
            _ = super().experiment
        except wandb.Error as error:
            if self.where is False:
                raise InputError(f"wandb: {error}; log in with `wandb login`, or logger.wandb.offline=true") from None
            logger.warning("wandb login failed, the run is offline: %s", error)
            self._go_offline()

    def _go_offline(self) -> None:
        self._wandb_init |= {"mode": "offline", "resume": None, "id": self._id}


def logged_in() -> bool:
    """Whether wandb finds credentials: WANDB_API_KEY, WANDB_IDENTITY_TOKEN_FILE, or its server in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = urlsplit(wandb.setup().settings.base_url).hostname
    files = [os.environ.get("NETRC") or Path.home() / name for name in (".netrc", "_netrc")]
    try:
        return any(server in netrc.netrc(file).hosts for file in files if Path(file).is_file())
    except (netrc.NetrcParseError, OSError):
        return False
