"""Paths of any characters and names that are numbers reach the configuration as they were typed."""

import os

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from sognet.cli.quoting import flags_first, quote_arguments
from sognet.errors import InputError


def value_of(argument: str) -> object:
    """What Hydra takes from an argument."""
    (quoted,) = quote_arguments([argument])
    return OverridesParser.create().parse_override(quoted).value()


@pytest.mark.parametrize(
    "path",
    [
        "a=b.xyz", "my file.xyz", "runs[1]/x.xyz", "{x}.xyz", "données/é.xyz", "it's.xyz", 'a"b.xyz', "data (1).xyz",
        "2024", "1e3", "true!", "a,b;c.xyz", "水.xyz", "x#1&2.xyz", "back\\slash é.xyz", "plain/*/OUTCAR", "a.xyz@:100",
    ],
)  # fmt: skip
@pytest.mark.parametrize("there", [True, False])
def test_paths_are_taken_as_they_are(tmp_path, monkeypatch, path, there):
    monkeypatch.chdir(tmp_path)
    if there and "*" not in path and "@" not in path:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    elif "," in path or path[0] in "[{":
        pytest.skip("a sweep or a mapping where no file has this name")
    assert value_of(f"dataset.path={path}") == path
    assert value_of(f"hydra.run.dir={path}") == path


@pytest.mark.parametrize("pattern", ["{epoch}", "{epoch:02d}-{step}", "{val/loss:.3f}", "'{epoch}'"])
def test_names_of_checkpoints_are_no_mappings(pattern):
    """Also where the shell has taken the quotes."""
    assert value_of(f"callbacks.checkpoint.filename={pattern}") == pattern.strip("'")


@pytest.mark.parametrize("name", ["true", "null", "[x].xyz"])
def test_names_of_files_that_mean_something_else(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    assert value_of(f"resume={name}") == name


def test_home_folder():
    assert value_of("dataset.path=~/x.xyz") == os.path.expanduser("~/x.xyz")
    assert value_of("checkpoint=[~/é.ckpt,b c.ckpt]") == [os.path.expanduser("~/é.ckpt"), "b c.ckpt"]


def test_everything_else_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1").touch()  # a member of a sweep
    plain = [
        "-m",
        "seed=1",
        "model.n_latent=1,2",
        "model.initial_charges={H: 0.1}",
        "optimizer.lr=tag(log, interval(1e-4,1e-2))",
    ]
    plain += ["checkpoint=[a.ckpt,b.ckpt]", "resume=null", "~callbacks.progress", "--cfg", "job", "dataset.path='a b'"]
    assert quote_arguments(plain) == plain


def test_flags_may_stand_between_settings():
    typed = ["seed=1,2", "-m", "name=a", "--config-dir", "mine", "~callbacks.progress", "--cfg=job"]
    assert flags_first(typed) == [
        "-m",
        "--config-dir",
        "mine",
        "--cfg=job",
        "seed=1,2",
        "name=a",
        "~callbacks.progress",
    ]


def test_each_value_of_a_sweep_is_quoted():
    assert quote_arguments(["-m", "dataset.path=é.xyz,b.xyz"]) == ["-m", "dataset.path='é.xyz','b.xyz'"]


@pytest.mark.parametrize(("argument", "remedy"), [("file.xyz", "quotes in the shell"), ("tags=[é]", "put quotes")])
def test_what_cannot_be_read_is_said_with_the_remedy(argument, remedy):
    with pytest.raises(InputError, match=remedy):
        quote_arguments([argument])
