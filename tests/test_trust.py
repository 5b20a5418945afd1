"""Import paths are followed into what the caller trusts, and nowhere else."""

import sys

import pytest

from sognet import trust
from sognet.errors import InputError
from sognet.trust import is_trusted, registered, resolve, trusted_names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    registered.cache_clear()
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]
    registered.cache_clear()


MODULE = "from os import system\nimport os\nclass Mine:\n    class Inner: ...\nnumber = 3\n"


def test_this_package_is_trusted_and_others_by_name():
    assert is_trusted("sognet.short_range.CACE")
    assert not is_trusted("sognetic.Mine")
    assert not is_trusted("os.system")
    assert is_trusted("mine.models.Mine", ["mine"])
    assert is_trusted("mine.models.Mine", "mine.models")
    assert not is_trusted("mine.others.Mine", ["mine.models"])
    assert not is_trusted("mineral.Mine", ["mine"])


def test_the_working_directory_is_searched_for_what_is_trusted(folder):
    (folder / "mine_here.py").write_text(MODULE)
    with pytest.raises(InputError, match=r"model=mine_here\.Mine: .*trust=\[mine_here\]"):
        resolve("mine_here.Mine", (), "model")
    assert "mine_here" not in sys.modules
    assert str(folder) not in sys.path
    assert resolve("mine_here.Mine", ["mine_here"]).__name__ == "Mine"
    assert resolve("mine_here.Mine.Inner", ["mine_here"]).__name__ == "Inner"
    assert sys.path[-1] == str(folder)


@pytest.mark.parametrize("path", ["mine_here.system", "mine_here.os.system"])
def test_what_a_trusted_module_has_imported_is_not_its_own(folder, path):
    (folder / "mine_here.py").write_text(MODULE)
    with pytest.raises(InputError, match=r"comes from posix: .*trust=\[posix\]"):
        resolve(path, ["mine_here"])


def test_nothing_of_other_packages_is_reached_through_this_one():
    with pytest.raises(InputError, match="comes from"):
        resolve("sognet.training.run.time.sleep")
    with pytest.raises(InputError, match="neither a class nor a function"):
        resolve("sognet.model")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("mine_here.Missing", "mine_here has no Missing"),
        ("mine_here.number", "neither a class nor a function"),
        ("mine_absent.Mine", "no module mine_absent is installed or in the working directory"),
        ("mine_broken.Mine", "importing mine_broken failed .*ZeroDivisionError"),
        ("mine_importing.Mine", "importing mine_importing failed .*no_such_package"),
    ],
)
def test_what_is_not_there_is_said(folder, path, message):
    (folder / "mine_here.py").write_text(MODULE)
    (folder / "mine_broken.py").write_text("1 / 0\n")
    (folder / "mine_importing.py").write_text("import no_such_package\n")
    with pytest.raises(InputError, match=message):
        resolve(path, [path.partition(".")[0]])


@pytest.mark.parametrize("names", [["mine.py"], ["./mine"], [3], "my-package"])
def test_names_are_those_of_modules(names):
    with pytest.raises(InputError, match=r"write trust=\[mine\] for mine.py"):
        trusted_names(names)


def install(folder, name):
    (folder / f"{name}.py").write_text("class Mine: ...\n")
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{trust.GROUP}]\n{name} = {name}\n")


def test_an_installed_package_that_registers_needs_no_trust(folder):
    (folder / "site").mkdir()
    install(folder / "site", "mine_registered")
    sys.path.append(str(folder / "site"))
    assert "mine_registered" in registered()
    assert resolve("mine_registered.Mine").__name__ == "Mine"


def test_a_package_in_the_working_directory_does_not_register_itself(folder):
    """It may have come with a stranger's checkpoint."""
    install(folder, "mine_unpacked")
    sys.path.insert(0, "")
    sys.path.append(str(folder))
    with pytest.raises(InputError, match="trust"):
        resolve("mine_unpacked.Mine")


def test_a_file_that_another_module_hides_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "statistics.py").write_text("class Radial: ...\n")
    with pytest.raises(InputError, match=r"statistics has no Radial; it is that of .*rename yours"):
        resolve("statistics.Radial", ["statistics"])
