"""`sognet predict`: what a model, or a committee, gives for structures without reference values."""

from pathlib import Path

from ase.io import write
from omegaconf import DictConfig, OmegaConf

from sognet.analysis.committee_report import committee_prediction
from sognet.analysis.predictions import predict
from sognet.data import Keys, Splits, Units, read_structures
from sognet.errors import InputError
from sognet.evaluation.checkpoints import find_checkpoints
from sognet.model import load_committee, load_model
from sognet.model.baseline_evaluation import evaluate_baseline
from sognet.model.checkpoint import as_device, as_dtype
from sognet.trust import trusted_names


def predict_file(config: DictConfig) -> None:
    """Predict every structure of `path`, in its order, and write `predictions.extxyz`.

    Several checkpoints are a committee. Energy and its short- and long-range part, forces, stress of what is periodic,
    latents and a committee's uncertainties are added to what the file has per structure and atom.

    Raises
    ------
    InputError : a checkpoint or the file cannot be used, or a structure has an element that the model does not know.
    """
    if not config.path:
        raise InputError("sognet predict needs path=<file>")
    checkpoints = find_checkpoints(config)
    device, dtype, trust = as_device(config.device), as_dtype(config.dtype), trusted_names(config.trust)
    if len(checkpoints) > 1:
        models = load_committee(checkpoints, device, dtype, trust)
    else:
        models = [load_model(checkpoints[0], device, dtype, trust)]
    charge_key = config.charge_key or models[0].charge_key
    keys = Keys(energy=None, forces=None, stress=None, charge=charge_key)
    structures = read_structures(config.path, keys, config.format, Units(length=config.length_unit), pbc=config.pbc)
    stress = any(s.has_stress for s in structures)
    for model in models if len(models) > 1 else ():  # members may have it in common
        evaluate_baseline(model.baseline, Splits("predict", test=structures), OmegaConf.select(config, "paths.data"))
    predictions = [list(predict(m, structures, config.batch_size, stress=stress, progress=True)) for m in models]
    members = zip(*predictions, strict=True)
    combined = [same[0] if len(same) == 1 else committee_prediction(same) for same in members]
    file = Path(config.folder).absolute() / "predictions.extxyz"
    file.parent.mkdir(parents=True, exist_ok=True)
    write(file, [p.to_atoms() for p in combined], format="extxyz")
    several = f" by a committee of {len(models)}" if len(models) > 1 else ""
    print(f"{len(combined)} structures predicted{several}: {file}")
