"""The folder of a run belongs to one run."""

import pytest
from hydra.errors import InstantiationException

from sognet.errors import InputError
from sognet.training.run_folder import claimed, unclaimed_where_refused


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr("sognet.training.run_folder._named_by_time", lambda folder: True)
    folders = [claimed(tmp_path / "12-00-00") for _ in range(3)]
    assert [folder.name for folder in folders] == ["12-00-00", "12-00-00_2", "12-00-00_3"]
    assert all((folder / "checkpoints").is_dir() for folder in folders)


def test_a_folder_asked_for_by_name_is_not_shared(tmp_path):
    claimed(tmp_path / "mine")
    with pytest.raises(InputError, match="already holds a run"):
        claimed(tmp_path / "mine")


@pytest.mark.parametrize("refused", [InputError("no such file"), InstantiationException("l_max")])
@pytest.mark.parametrize("trained", [False, True])
def test_the_folder_of_a_run_that_is_refused_is_free_again(tmp_path, refused, trained):
    folder = claimed(tmp_path / "mine")
    (folder / "config.yaml").touch()
    if trained:
        (folder / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(type(refused)), unclaimed_where_refused(folder):
        raise refused
    assert folder.exists() == trained
