"""`sognet evaluate`: the errors of a checkpoint, of several side by side, or of a committee."""

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from sognet.analysis.committee_report import print_committee, report_committee
from sognet.analysis.comparison import print_comparison, write_comparison
from sognet.analysis.findings import print_findings
from sognet.analysis.model_report import print_summary, report, write_summary
from sognet.analysis.predictions import predict_splits
from sognet.analysis.run_data import load_splits, shared_splits, trained_configuration, with_charge_key
from sognet.evaluation.checkpoints import find_checkpoints, short_names
from sognet.model import load_committee, load_model
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.checkpoint import as_device, as_dtype
from sognet.targets import add_targets
from sognet.trust import trusted_names


def evaluate_checkpoints(config: DictConfig) -> None:
    """Evaluate what `checkpoint` names and write `summary.json`, `predictions.extxyz`, tables and figures.

    Several checkpoints get a folder each and a table that compares them, or with `committee` are evaluated together.

    Raises
    ------
    InputError : a checkpoint or the data cannot be used; says why.
    """
    checkpoints = find_checkpoints(config)
    device, dtype, trust = as_device(config.device), as_dtype(config.dtype), trusted_names(config.trust)
    models = (
        load_committee(checkpoints, device, dtype, trust)
        if config.committee
        else [load_model(file, device, dtype, trust) for file in checkpoints]
    )
    trained = [trained_configuration(file) for file in checkpoints]
    for settings in trained:
        add_targets(OmegaConf.select(settings, "loss.targets") or ())
    if config.get("dataset"):
        given = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
        splits = load_splits(with_charge_key(config.dataset, models[0].charge_key, given), checkpoints[0], trust)
    else:
        splits = shared_splits([settings.get("dataset") for settings in trained], checkpoints, trust)
    for model in models:
        evaluate_baseline(model.baseline, splits, OmegaConf.select(config, "paths.data"))
    stress = config.stress
    if stress is None:
        stress = any(bool(OmegaConf.select(settings, "loss.stress")) for settings in trained)
    batch_size = int(config.batch_size or OmegaConf.select(trained[0], "batch.eval_batch_size") or 16)
    folder = Path(config.folder).absolute()
    names = dict(zip(short_names(checkpoints), models, strict=True))
    if config.committee:
        members = {n: predict_splits(m, splits, batch_size, stress, progress=True) for n, m in names.items()}
        summary = report_committee(members, folder) | {"checkpoint": [str(file) for file in checkpoints]}
        write_summary(summary, folder / "summary.json")
        print_committee(summary, splits.name)
    elif len(names) == 1:
        summary = report(models[0], splits, folder, batch_size, stress, progress=True)
        write_summary(summary | {"checkpoint": str(checkpoints[0])}, folder / "summary.json")
        print_summary(summary, f"{splits.name}: {checkpoints[0]}")
    else:
        summaries = {}
        for (name, model), file in zip(names.items(), checkpoints, strict=True):
            summaries[name] = report(model, splits, folder / name, batch_size, stress, progress=True)
            write_summary(summaries[name] | {"checkpoint": str(file)}, folder / name / "summary.json")
        write_comparison(summaries, folder)
        print_comparison(summaries, f"{splits.name}: {len(names)} checkpoints")
    print(f"everything is in {folder}")
    if config.committee or len(names) == 1:
        print_findings(summary)
