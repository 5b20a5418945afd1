"""What the documents quote exists: commands compose, links lead somewhere, code compiles, pages have their place."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from sognet.cli.configuration import CONFIGURATION, implied
from sognet.cli.main import COMMANDS, HELP, OTHER_COMMANDS
from sognet.cli.quoting import FLAGS_WITH_VALUE, quote_arguments
from sognet.renamed_settings import refuse_renamed
from sognet.training.configuration_checks import check

ROOT = CONFIGURATION.parent
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("experiments/**/README.md"))]
LONGEST_README = 60
BLOCK = re.compile(r"^```(\w*)(?: title=\"([^\"\n]*)\")?\n(.*?)^```", re.MULTILINE | re.DOTALL)

COMMAND_LINES = sorted(
    {
        re.sub(r"<[^>]*>", "x", line.partition("  #")[0]).strip()
        for document in DOCUMENTS
        for language, _, text in BLOCK.findall(document.read_text())
        if language in ("", "bash", "console")
        for line in text.splitlines()
        if line.startswith("sognet ")
    }
    | {
        line.strip().partition("  ")[0].replace("...", "x")
        for line in HELP.splitlines()
        if line.startswith("  sognet ")
    }
)


def name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    """The files that the documents show with a title, in the folders that they name."""
    folder = tmp_path_factory.mktemp("own")
    for document in DOCUMENTS:
        for _, title, text in BLOCK.findall(document.read_text()):
            if title:
                (folder / title).parent.mkdir(parents=True, exist_ok=True)
                (folder / title).write_text(text)
    return folder


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_commands_compose(line, own, monkeypatch):
    monkeypatch.chdir(own)
    words = shlex.split(line)[1:]
    command = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    if command in OTHER_COMMANDS:
        return
    arguments = quote_arguments(words[len(command.split()) :])
    refuse_renamed(arguments)
    given, search_path = [], []
    while arguments:
        argument = arguments.pop(0)
        if argument in FLAGS_WITH_VALUE:
            search_path += [f"hydra.searchpath=[{own / arguments.pop(0)}]"] if argument == "--config-dir" else []
            arguments = arguments[argument != "--config-dir" :]
        elif not argument.startswith("-"):
            given.append(first_of_sweep(argument))
    with initialize_config_dir(str(CONFIGURATION), version_base="1.3"):
        config = compose(command.replace(" ", "_"), [*given, *implied(command, given), *search_path, "folder=here"])
    if command == "train":
        check(config, given)
        OmegaConf.to_container(config, resolve=True)


def first_of_sweep(argument: str) -> str:
    override = OverridesParser.create().parse_override(argument)
    if not override.is_sweep_override():
        return argument
    return f"{override.get_key_element()}={next(override.sweep_string_iterator())}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
        assert "://" in target or (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_code_compiles(document):
    for language, _, text in BLOCK.findall(document.read_text()):
        if language == "python":
            compile(text, name(document), "exec")
        elif language == "yaml":
            yaml.safe_load(text)


def test_the_layer_runs_alone_as_documented():
    names = {}
    for language, _, text in BLOCK.findall((ROOT / "docs" / "long_range.md").read_text()):
        if language == "python":
            first, again = text.split("plan = ")
            exec(first, names)
            expected = names["energies"]
            exec(f"plan = {again}", names)
    torch.testing.assert_close(names["energies"], expected)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d.parent.parent.name == "experiments"], ids=name)
def test_experiments_are_described_briefly(document):
    lines = document.read_text().splitlines()
    assert len(lines) <= LONGEST_README
    assert any(line.startswith(("sognet ", "python ")) for line in lines)
    assert any(line.startswith("| ---") for line in lines)
    assert any(line.startswith("## What to know") for line in lines) or document.parent.name == "benchmarks"


def test_the_documentation_builds_without_warnings(tmp_path):
    pytest.importorskip("mkdocs", reason="needs mkdocs (pip install 'sognet[docs]')")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "api" / "long_range" / "index.html").read_text()
    assert "<p>Returns: (B,) energies in eV" in page
    assert re.search(r"<p>\(N, 3\), Å\.</p>", page)


def test_every_page_has_a_place_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    for page in ROOT.glob("docs/**/*.md"):
        assert str(page.relative_to(ROOT / "docs")) in navigation


def test_the_first_screen_says_what_it_is_and_what_to_type():
    screen = (ROOT / "README.md").read_text().partition("\n## ")[0]
    assert len(screen.splitlines()) < 30
    assert re.findall(r"^make \w+", screen, re.MULTILINE) == ["make train", "make test"]
    of_experiment = (ROOT / "experiments" / "electrolyte" / "README.md").read_text()
    ratios = re.search(r"\*\*([\d., ]+)\*\* \|$", screen, re.MULTILINE)[1].split(", ")
    assert len(ratios) == 3
    assert all(f"**{ratio}**" in of_experiment for ratio in ratios)
    assert ".png" in screen
