"""Which checkpoints a command line names."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from sognet.errors import InputError
from sognet.evaluation.checkpoints import find_checkpoints, short_names


def named(checkpoint) -> list[Path]:
    return find_checkpoints(OmegaConf.create({"checkpoint": checkpoint}))


@pytest.fixture
def sweep(tmp_path) -> Path:
    for number in (0, 2, 10):
        for name in ("best", "last"):
            file = tmp_path / f"{number}_seed" / "checkpoints" / f"{name}.ckpt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    return tmp_path


def test_files_patterns_and_folders(sweep):
    best = [sweep / f"{n}_seed" / "checkpoints" / "best.ckpt" for n in (0, 2, 10)]
    assert named(str(sweep)) == best
    assert named(str(sweep / "2_seed")) == [best[1]]
    assert named(str(sweep / "*_seed" / "checkpoints" / "last.ckpt")) == [f.with_name("last.ckpt") for f in best]
    assert named([str(best[2]), str(sweep)]) == [best[2], best[0], best[1]]
    assert named(str(sweep / "none.ckpt")) == [sweep / "none.ckpt"]  # loading says that it is missing


@pytest.mark.parametrize("checkpoint", [None, [], "???"])
def test_nothing_named(checkpoint):
    with pytest.raises(InputError, match="name a checkpoint"):
        named(checkpoint)


def test_nothing_found(tmp_path):
    for name in ("*.ckpt", ""):
        with pytest.raises(InputError, match="no run"):
            named(f"{tmp_path}/{name}")


def test_names_tell_checkpoints_apart(sweep):
    assert short_names(named(str(sweep))) == ["0_seed", "2_seed", "10_seed"]
    folder = sweep / "0_seed" / "checkpoints"
    assert short_names([folder / "best.ckpt", folder / "last.ckpt"]) == ["best", "last"]
    assert short_names([folder / "best.ckpt"]) == ["best"]
    mixed = [folder / "best.ckpt", sweep / "2_seed" / "checkpoints" / "last.ckpt"]
    assert short_names(mixed) == ["0_seed/checkpoints/best", "2_seed/checkpoints/last"]
