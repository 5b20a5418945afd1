"""Paths of a run do not depend on the folder in which the next command runs."""

from omegaconf import OmegaConf

from sognet.training.absolute_paths import make_absolute


def test_paths_that_are_here_become_absolute(tmp_path, monkeypatch):
    (tmp_path / "a.xyz").touch()
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "OUTCAR").touch()
    monkeypatch.chdir(tmp_path)
    dataset = OmegaConf.create(
        {
            "path": ["a.xyz", "*/OUTCAR"],
            "val_path": "a.xyz",
            "test_path": None,
            "sources": {"b": {"path": "runs", "weight": 2}},
        }
    )
    make_absolute(dataset)
    assert dataset == {
        "path": [f"{tmp_path}/a.xyz", f"{tmp_path}/*/OUTCAR"],
        "val_path": f"{tmp_path}/a.xyz",
        "test_path": None,
        "sources": {"b": {"path": f"{tmp_path}/runs", "weight": 2}},
    }


def test_addresses_and_words_stay():
    dataset = OmegaConf.create({"path": "s3://bucket/folder", "root": "not_here", "val_path": "/gone/a.xyz"})
    make_absolute(dataset)
    assert dataset == {"path": "s3://bucket/folder", "root": "not_here", "val_path": "/gone/a.xyz"}
