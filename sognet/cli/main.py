"""The command `sognet`: train, evaluate, predict, simulate and prepare data, configured by Hydra."""

import sys
from collections.abc import Callable
from pathlib import Path

import hydra
from omegaconf import DictConfig

from sognet import __version__
from sognet.cli.completion import bash_script
from sognet.cli.configuration import CONFIGURATION, implied, nearest, page
from sognet.cli.endings import INTERRUPTED, clear_ending
from sognet.cli.quoting import flags_first, quote_arguments
from sognet.cli.streams import end_unread, replace_unencodable
from sognet.errors import InputError
from sognet.extras import require
from sognet.freed_memory import keep_freed_memory
from sognet.renamed_settings import refuse_renamed
from sognet.training.environment import quieten

HELP = f"""sognet {__version__}: machine-learning interatomic potentials with a learned long-range interaction

  sognet train dataset=files dataset.path=mine.xyz     train on your own data
  sognet train experiment=electrolyte                  the built-in example (make train)
  sognet train experiment=dimers dataset.pair=CC       a published data set
  sognet train resume=outputs/default/<date>_<time>    continue a run that was interrupted
  sognet train -m model.long_range.n_gaussians=6,12    one run for each value
  sognet train hparams_search=optuna dataset.path=...  a search for the best settings
  sognet train debug=limit dataset.path=mine.xyz       a few steps, to see whether everything works
  sognet train --config-dir mine experiment=ours       experiments of your own, mine/experiment/ours.yaml
  sognet train dataset.path=mine.xyz ensemble=4        a committee of four models
  sognet evaluate checkpoint=outputs/.../best.ckpt     errors, predictions and figures of a trained model
  sognet evaluate checkpoint=[a.ckpt,b.ckpt]           a table that compares models; with committee=true, their mean
  sognet predict checkpoint=a.ckpt path=new.xyz        energies and forces of structures without reference values
  sognet simulate checkpoint=a.ckpt structure=a.xyz    molecular dynamics; simulation=nve|nvt|npt|relax
  sognet analyze trajectory=outputs/.../trajectory.extxyz  structure, diffusion, spectra of a trajectory, with errors
  sognet ipi checkpoint=a.ckpt structure=a.xyz unix=x  forces for i-PI: path integrals, replica exchange
  sognet label calculator=tblite path=new.xyz          energies and forces of structures by any ASE calculator
  sognet inspect checkpoint=outputs/.../best.ckpt      how the learned interaction decays, and what the data say of it
  sognet reduce checkpoint=a.ckpt path=cells.xyz       the same model with fewer Gaussians in its kernel
  sognet data inspect dataset=files dataset.path=...   what is in a data set, and what looks like a mistake
  sognet data prepare dataset.path=... folder=shards   for data larger than memory; train with dataset=stream
  sognet runs outputs/default                          table of finished runs, best first, and what differs
  sognet dashboard entity/project                      a wandb workspace with the panels that a training needs
  sognet configuration                                 page of all groups and values, as in docs/configuration.md
  eval "$(sognet completion bash)"                     completion of groups and values with the tab key
  sognet train --help                                  groups and values that can be set
"""


def run_train(config: DictConfig) -> float | None:
    """`sognet train`."""
    from sognet.training.ensemble import n_members, run_ensemble
    from sognet.training.run import start

    return run_ensemble(config) if n_members(config) > 1 else start(config)


def run_evaluate(config: DictConfig) -> None:
    """`sognet evaluate`."""
    from sognet.evaluation.evaluate import evaluate_checkpoints

    evaluate_checkpoints(config)


def run_predict(config: DictConfig) -> None:
    """`sognet predict`."""
    from sognet.evaluation.predict import predict_file

    predict_file(config)


def run_simulate(config: DictConfig) -> None:
    """`sognet simulate`."""
    from sognet.evaluation.checkpoints import find_checkpoints
    from sognet.simulation.command import run_simulation

    run_simulation(config, find_checkpoints)


def run_ipi(config: DictConfig) -> None:
    """`sognet ipi`."""
    from sognet.evaluation.checkpoints import find_checkpoints
    from sognet.simulation.engines.ipi import run_driver

    run_driver(config, find_checkpoints)


def run_analyze(config: DictConfig) -> None:
    """`sognet analyze`."""
    from sognet.trajectories.command import analyze_trajectory

    analyze_trajectory(config)


def run_reduce(config: DictConfig) -> None:
    """`sognet reduce`."""
    from sognet.evaluation.shorter_kernel import reduce_checkpoint

    reduce_checkpoint(config)


def run_label(config: DictConfig) -> None:
    """`sognet label`."""
    from sognet.data.labelling.command import label_file

    label_file(config)


def run_inspect_kernel(config: DictConfig) -> None:
    """`sognet inspect`."""
    from sognet.evaluation.inspect_kernel import inspect_checkpoints

    inspect_checkpoints(config)


def run_inspect_data(config: DictConfig) -> None:
    """`sognet data inspect`."""
    from sognet.data.inspection.overview import run

    run(config)


def run_prepare(config: DictConfig) -> None:
    """`sognet data prepare`."""
    require("pyarrow", "stream")
    from sognet.data.streaming.preparation import run

    run(config)


def show_runs(folders: list[Path]) -> None:
    """`sognet runs`."""
    from sognet.evaluation.runs import print_runs

    try:
        print_runs(folders)
    except InputError as error:
        sys.exit(f"error: {error}")


def make_dashboard(project: str) -> None:
    """`sognet dashboard`."""
    from sognet.training.loggers.workspace import create_dashboard

    try:
        print(create_dashboard(project))
    except InputError as error:
        sys.exit(f"error: {error}")


def show_completion(shells: list[str]) -> None:
    """`sognet completion`."""
    if shells != ["bash"]:
        sys.exit('error: sognet completion knows bash: eval "$(sognet completion bash)"')
    print(bash_script(tuple(COMMANDS), OTHER_COMMANDS))


COMMANDS: dict[str, Callable[[DictConfig], float | None]] = {
    "train": run_train,
    "evaluate": run_evaluate,
    "predict": run_predict,
    "simulate": run_simulate,
    "analyze": run_analyze,
    "ipi": run_ipi,
    "label": run_label,
    "reduce": run_reduce,
    "inspect": run_inspect_kernel,
    "data inspect": run_inspect_data,
    "data prepare": run_prepare,
}
"""By name, of one or two words; the configuration of `data prepare` is conf/data_prepare.yaml."""

OTHER_COMMANDS = ("runs", "dashboard", "configuration", "completion")


def main() -> None:
    """Run the command named by the first argument with the overrides that follow."""
    replace_unencodable()
    try:
        run_command()
        sys.stdout.flush()
    except BrokenPipeError:
        end_unread()


def run_command() -> None:
    """Run the command of the arguments."""
    command = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if command == "data" and len(sys.argv) > 2:
        command = f"data {sys.argv.pop(2)}"
    if command in ("-h", "--help", "help"):
        print(HELP)
        return
    if command == "--version":
        print(__version__)
        return
    if command == "runs":
        show_runs([Path(name) for name in sys.argv[2:]] or [Path("outputs")])
        return
    if command == "dashboard":
        make_dashboard(sys.argv[2] if len(sys.argv) > 2 else "")
        return
    if command == "completion":
        show_completion(sys.argv[2:])
        return
    if command == "configuration":
        print(page())
        return
    if command not in COMMANDS:
        names = ", ".join((*COMMANDS, *OTHER_COMMANDS))
        first = command.split()[0] if command.split() else ""
        if longer := [name for name in COMMANDS if name.startswith(f"{first} ")]:
            sys.exit(f"sognet {first} needs another word: {' or '.join(f'sognet {name}' for name in longer)}")
        sys.exit(f"sognet has no command {command!r}; there are {names} (see sognet --help)")
    try:
        sys.argv = [sys.argv[0], *quote_arguments(flags_first(sys.argv[2:]))]
        refuse_renamed(sys.argv)
    except InputError as error:
        sys.exit(f"error: {error}")
    sys.argv += [f"hydra.run.dir={a.removeprefix('resume=')}" for a in sys.argv if a.startswith("resume=")]
    sys.argv += implied(command, sys.argv)

    composed = False

    def task(config: DictConfig) -> float | None:
        nonlocal composed
        from sognet.cli.sweep import in_sweep, run_member

        composed = True
        quieten()
        keep_freed_memory()
        with clear_ending(config):
            return run_member(COMMANDS[command], config) if in_sweep() else COMMANDS[command](config)

    try:
        hydra.main(version_base="1.3", config_path=str(CONFIGURATION), config_name=command.replace(" ", "_"))(task)()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except SystemExit as stop:
        if stop.code and not composed:
            for name, meant in nearest(sys.argv[1:]).items():
                print(f"there is no {name}; did you mean {meant}?", file=sys.stderr)
            if "model/long_range=none" in sys.argv:
                for name in [a for a in sys.argv if a.startswith("model.long_range.")]:
                    print(f"model/long_range=none has no settings; leave out {name}", file=sys.stderr)
        raise
