"""Checkpoints are self-contained, and a stranger's runs nothing."""

import os
import pickle

import pytest
import torch
from structures import graph_of, random_atoms, small_model

from sognet import SOGNet, load_model
from sognet.errors import InputError
from sognet.model.checkpoint import as_device, as_dtype, model_entry
from sognet.short_range import CACE


@pytest.fixture
def model():
    return small_model(reference_energies={"Na": -1234.5}, charges=None, standardize=True)


def save(model, path, **changes):
    weights = {f"model.{k}": v for k, v in model.state_dict().items()}
    torch.save({"sognet": model_entry(model), "state_dict": weights} | changes, path)
    return path


def test_loaded_model_gives_the_same_output(model, tmp_path, device):
    graph = graph_of(random_atoms())
    model.set_standardization(graph)
    with torch.no_grad():
        model.long_range.kernel.bandwidth_shift.add_(0.1)
    loaded, graph = load_model(save(model, tmp_path / "m.ckpt"), device), graph.to(device)
    exact = {"rtol": 0, "atol": 0} if device == "cpu" else {}  # sums on a GPU have no fixed order
    for key, value in model.to(device).eval()(graph).items():
        torch.testing.assert_close(loaded(graph)[key], value, **exact)


def test_cace_is_loaded_with_the_settings_it_was_saved_with(tmp_path):
    settings = {"n_radial": 4, "l_max": 2, "nu_max": 2, "n_embedding": 2, "n_message_passing": 1}
    model = SOGNet(CACE(["Na", "Cl"], 4.0, **settings, orthogonal_embeddings=True), None).eval()
    loaded = load_model(save(model, tmp_path / "m.ckpt"))
    assert loaded.short_range.orthogonal_embeddings
    graph = graph_of(random_atoms())
    torch.testing.assert_close(loaded(graph)["forces"], model(graph)["forces"], rtol=0, atol=0)


def test_precision_can_be_chosen(model, tmp_path):
    path = save(model, tmp_path / "m.ckpt")
    assert next(load_model(path).parameters()).dtype == torch.float32
    assert next(load_model(path, dtype=torch.float64).parameters()).dtype == torch.float64


class Payload:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_refused_and_not_run(model, tmp_path):
    path = tmp_path / "m.ckpt"
    path.write_bytes(pickle.dumps({"state_dict": Payload(tmp_path / "owned")}))
    with pytest.raises(InputError, match=r"m\.ckpt"):
        load_model(path)
    save(model, path, callbacks=Payload(tmp_path / "owned"))
    with pytest.raises(InputError, match="more than plain values"):
        load_model(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "entry",
    [
        None,
        {"format": 1, "model": {"_target_": "os.mkdir", "path": "owned"}},
        {"format": 1, "model": {"class": "os.mkdir", "path": "owned"}},
        {"format": 1, "model": {"class": "DeepPotential", "species": ["Na"], "cutoff": 4.0}},
        {"format": 1, "model": {"class": "SOGNet", "short_range": {"class": "SOGNet"}}},
        {"format": 1, "model": {"class": "SOGNet", "short_range": 3}},
        {"format": 99, "model": {}},
        {"format": 1, "model": {str(i): i for i in range(10_000)}},
    ],
)
def test_foreign_descriptions_are_refused_in_one_line(model, tmp_path, entry):
    with pytest.raises(InputError, match=r"m\.ckpt") as caught:
        load_model(save(model, tmp_path / "m.ckpt", sognet=entry))
    assert len(str(caught.value).splitlines()) == 1


def nested(depth):
    value = {}
    for _ in range(depth):
        value = {"class": "SOGNet", "short_range": value}
    return value


def broken(model, kind):
    """What a checkpoint is changed by, so that no model can be made of it."""
    entry = model_entry(model)
    weights = {f"model.{k}": v for k, v in model.state_dict().items()}
    name = next(iter(weights))

    def described(**changes):
        return {"sognet": entry | {"model": entry["model"] | changes}}

    return {
        "deep nesting of a description": lambda: {"sognet": entry | {"model": nested(300)}},
        "sparse weights": lambda: {"state_dict": weights | {name: torch.zeros(4, 4).to_sparse()}},
        "numbers for weights": lambda: {"state_dict": weights | {name: 3}},
        "negative sizes": lambda: described(energy_hidden=[-3]),
        "a list for a name": lambda: described(short_range={"class": ["CACE"]}),
        "a dictionary for a format": lambda: {"sognet": entry | {"format": {str(i): i for i in range(10_000)}}},
    }[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "deep nesting of a description", "sparse weights", "numbers for weights", "negative sizes", "a list for a name",
        "a dictionary for a format",
    ],
)  # fmt: skip
def test_what_is_no_model_gives_one_line(model, tmp_path, kind):
    path = save(model, tmp_path / "m.ckpt", **broken(model, kind))
    with pytest.raises(InputError, match=r"m\.ckpt") as caught:
        load_model(path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 500


def test_weights_of_another_shape_are_refused(model, tmp_path):
    other = small_model(energy_hidden=(7,), standardize=True)
    weights = {f"model.{k}": v for k, v in other.state_dict().items()}
    with pytest.raises(InputError, match=r"m\.ckpt"):
        load_model(save(model, tmp_path / "m.ckpt", state_dict=weights))


def test_truncated_and_missing_files_are_refused(model, tmp_path):
    path = save(model, tmp_path / "m.ckpt")
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="truncated"):
        load_model(path)
    with pytest.raises(InputError, match="no such checkpoint"):
        load_model(tmp_path / "none.ckpt")


def test_device_and_precision():
    assert as_device("cpu") == torch.device("cpu")
    assert as_dtype("float64") == torch.float64
    assert as_dtype(None) is None
    with pytest.raises(InputError, match="device=toaster"):
        as_device("toaster")
    with pytest.raises(InputError, match="float16"):
        as_dtype("float16")
