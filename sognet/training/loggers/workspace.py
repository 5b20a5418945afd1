"""`sognet dashboard`: a wandb workspace with the panels that a training needs, for all runs of a project."""

from typing import TYPE_CHECKING

from sognet.errors import InputError
from sognet.extras import require
from sognet.targets import TARGETS, further_targets

if TYPE_CHECKING:
    from wandb_workspaces.workspaces import Workspace

NAME = "sognet"


def create_dashboard(project: str) -> str:
    """Save the workspace in a project, `entity/project`, on the wandb server; returns its address.

    Raises
    ------
    InputError : not of this form, wandb-workspaces is not installed, or the wandb login fails.
    """
    entity, _, name = project.partition("/")
    if not (entity and name) or "/" in name:
        raise InputError(f"sognet dashboard needs the project as entity/project, got {project!r}")
    require("wandb_workspaces", "dashboard")
    import wandb
    from requests import RequestException

    try:
        return training_workspace(entity, name).save_as_new_view().url
    except (wandb.Error, RequestException, ValueError) as error:
        raise InputError(f"wandb did not take the dashboard of {project}: {error} (see wandb login)") from None


def training_workspace(entity: str, project: str) -> "Workspace":
    """The workspace: errors, kernel, latents, optimizer and system, and below them whatever else the runs log.

    Elements, configuration types and channels differ from run to run; their curves are found by regular expressions.
    """
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws

    def curves(title: str, unit: str, *keys: str, log_y: bool = True) -> wr.LinePlot:
        return wr.LinePlot(title=title, x="epoch", y=list(keys), title_y=unit, log_y=log_y)

    def matching(title: str, unit: str, pattern: str, log_y: bool = True) -> wr.LinePlot:
        return wr.LinePlot(title=title, x="epoch", metric_regex=f"^{pattern}$", title_y=unit, log_y=log_y)

    def system(title: str, unit: str, pattern: str) -> wr.LinePlot:
        return wr.LinePlot(title=title, x="Relative Time (Wall)", metric_regex=f"^{pattern}$", title_y=unit)

    def image(title: str, key: str) -> wr.MediaBrowser:
        return wr.MediaBrowser(title=title, media_keys=[key], num_columns=1)

    terms = "|".join((*TARGETS, "neutrality", "kernel"))
    errors = [
        curves("force error", "meV/Å", "val/force_rmse", "train/force_rmse"),
        curves("energy error", "meV/atom", "val/energy_rmse", "train/energy_rmse"),
        curves("mean absolute force error", "meV/Å", "val/force_mae"),
        curves("mean absolute energy error", "meV/atom", "val/energy_mae"),
        matching("stress error", "meV/Å³", r"val/stress_(rmse|mae)"),
        *(matching(f"error of {t.name}", t.unit, f"val/{t.label}_(rmse|mae)") for t in further_targets()),
        curves("loss", "", "val/loss", "train/loss"),
        matching("terms of the loss", "", rf"train/({terms})"),
        matching("force error by element", "meV/Å", r"val/force_rmse/[A-Z][a-z]?"),
        matching("force error by configuration type", "meV/Å", r"val/force_rmse/config_type=.*"),
        matching("energy error by configuration type", "meV/atom", r"val/energy_rmse/config_type=.*"),
        image("prediction against reference", "figures/parity"),
        wr.BarPlot(title="force error of the best checkpoint, test", metrics=["final/test/force_rmse"]),
        wr.BarPlot(title="energy error of the best checkpoint, test", metrics=["final/test/energy_rmse"]),
    ]
    kernel = [
        matching("exponent of the decay", "", r"kernel/(\d+/)?exponent", log_y=False),
        matching("strength over that of charges in vacuum", "", r"kernel/(\d+/)?coulomb_ratio", log_y=False),
        image("multiplier ĝ(k) and force of g(r)", "figures/kernel"),
        curves("forces by range", "RMS meV/Å", "val/force_short_range_rms", "val/force_long_range_rms"),
        curves("share of the long range in the interaction energy", "", "val/long_range_share"),
        curves("energies by range", "RMS meV/atom", "val/energy_short_range_rms", "val/energy_long_range_rms"),
    ]
    latents = [image("force errors and latents by element", "figures/distributions")]
    optimizer = [
        matching("learning rates", "", r"lr(/.*)?"),
        curves("norm of the gradient", "", "gradient_norm/mean", "gradient_norm/max"),
        curves("time", "s", "seconds", log_y=False),
        curves("share of the time spent waiting for batches", "", "data_wait", log_y=False),
    ]
    machine = [
        system("processor", "%", r"system/cpu"),
        system("memory of the process", "MB", r"system/proc\.memory\.rssMB"),
        system("memory in use", "%", r"system/memory_percent"),
        system("GPU", "%", r"system/gpu\.\d+\.gpu"),
        system("memory of the GPU", "%", r"system/gpu\.\d+\.memoryAllocated"),
    ]
    sections = {"errors": errors, "kernel": kernel, "latents": latents, "optimizer": optimizer, "system": machine}
    return ws.Workspace(
        entity=entity,
        project=project,
        name=NAME,
        sections=[ws.Section(name=title, panels=panels, is_open=True) for title, panels in sections.items()],
        settings=ws.WorkspaceSettings(group_by_prefix="first"),
        auto_generate_panels=True,
    )
