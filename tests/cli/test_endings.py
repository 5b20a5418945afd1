"""What a command says where it does not end well."""

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from sognet.cli.endings import clear_ending, reason
from sognet.errors import InputError


def broken(**_: object) -> None:
    """A data set of somebody's."""
    raise ValueError("no such frame")


def raised(config: dict) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        instantiate(OmegaConf.create({"dataset": config}).dataset)
    return caught.value


def test_mistakes_in_the_input_lose_the_wrapping(tmp_path):
    missing = tmp_path / "missing.xyz"
    said = reason(raised({"_target_": "sognet.data.from_files", "path": str(missing)}))
    assert said == f"{missing}: no such file"


def test_errors_of_a_users_function_name_it_and_its_line():
    said = reason(raised({"_target_": f"{__name__}.broken"}))
    assert said.startswith("dataset: ValueError: no such frame (")
    assert __file__ in said
    assert "Error in call" not in said


def test_parts_that_have_no_place_in_the_configuration_are_named_by_what_they_call():
    with pytest.raises(InstantiationException) as caught:
        instantiate({"_target_": "sognet.short_range.CACE", "species": ["H"], "cutoff": 4.0, "l_max": 50})
    assert reason(caught.value) == "sognet.short_range.cace.CACE: l_max must lie within 0 and 10, got 50"


def test_defects_keep_their_traceback():
    assert reason(KeyError("x")) is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(130)])
@pytest.mark.parametrize("saved", [True, False])
def test_an_interrupted_run_says_how_to_go_on(tmp_path, capsys, error, saved):
    folder = tmp_path / "run 1"
    if saved:
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "last.ckpt").touch()
    with pytest.raises(SystemExit) as stop, clear_ending(OmegaConf.create({"resume": None, "folder": str(folder)})):
        raise error
    assert stop.value.code == 130
    said = capsys.readouterr().err
    assert (f"interrupted; continue with sognet train 'resume={folder}'" in said) == saved
    assert "interrupted" in said


def test_a_mistake_is_one_line_and_code_1(capsys):
    with pytest.raises(SystemExit) as stop, clear_ending(OmegaConf.create()):
        raise InputError("a.xyz: no such file")
    assert stop.value.code == 1
    assert capsys.readouterr().err.strip() == "error: a.xyz: no such file"
