"""Where wandb writes."""

from pathlib import Path

import pytest
import wandb
from wandb_file import logged_keys

from sognet.errors import InputError
from sognet.training.loggers.wandb_run import WandbRun, logged_in

KEY = 40 * "a"


@pytest.fixture(autouse=True)
def _nobody_logged_in(monkeypatch, tmp_path):
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    wandb.teardown()  # and forget the settings of the environment
    yield
    wandb.teardown()


def write_and_close(run: WandbRun, folder: Path) -> None:
    run.log_metrics({"loss": 1.0}, 1)
    (folder / "best.ckpt").write_bytes(b"weights")
    run.close(folder / "best.ckpt", {"force_rmse": 1.0})
    wandb.teardown()  # the process that writes has written


def test_a_run_of_somebody_not_logged_in_is_offline_and_says_how_to_upload_it(tmp_path, capfd):
    write_and_close(WandbRun(tmp_path, project="sognet"), tmp_path)
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    shown = capfd.readouterr()
    assert shown.out.count(f"wandb sync {folder}") == 1
    assert "WARNING" not in shown.err
    assert "loss" in logged_keys(tmp_path)


def test_one_run_after_the_other_in_a_process(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    failed = WandbRun(tmp_path / "one", project="sognet")
    failed.log_metrics({"one": 1.0}, 1)
    write_and_close(WandbRun(tmp_path / "two", project="sognet"), tmp_path / "two")
    assert "one" not in logged_keys(tmp_path / "two")
    assert "one" in logged_keys(tmp_path / "one")


def test_credentials_are_found(monkeypatch, tmp_path):
    assert not logged_in()
    (tmp_path / "netrc").write_text(f"machine elsewhere.org login user password {KEY}\n")
    assert not logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    wandb.teardown()
    (tmp_path / "netrc").write_text(f"machine wandb.example.org login user password {KEY}\n")
    assert logged_in()
    (tmp_path / "netrc").write_text("not a netrc")
    assert not logged_in()
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert logged_in()


@pytest.fixture
def server_that_is_away(monkeypatch):
    """Starts of runs, the online ones of which fail."""
    started, init = [], wandb.init

    def without_server(**settings):
        started.append(settings)
        if settings.get("mode") == "online":
            raise wandb.errors.CommError("no such host")
        return init(**settings)

    monkeypatch.setattr(wandb, "init", without_server)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return started


def test_a_server_that_does_not_answer_leaves_the_run_offline(tmp_path, server_that_is_away, caplog):
    write_and_close(WandbRun(tmp_path, project="sognet"), tmp_path)
    assert [s["mode"] for s in server_that_is_away] == ["online", "offline"]
    assert "no such host" in caplog.text
    assert list(tmp_path.glob("wandb/offline-run-*"))


def test_a_run_that_must_be_online_fails_where_it_cannot(tmp_path, server_that_is_away):
    with pytest.raises(InputError, match=r"no such host.*wandb login"):
        _ = WandbRun(tmp_path, offline=False).experiment
    assert [s["mode"] for s in server_that_is_away] == ["online"]


def test_a_resumed_training_goes_on_in_its_online_run(tmp_path, server_that_is_away):
    (tmp_path / "wandb" / "run-20260101_000000-abcd1234").mkdir(parents=True)
    write_and_close(WandbRun(tmp_path, project="sognet"), tmp_path)
    online, offline = server_that_is_away
    assert (online["id"], online["resume"]) == ("abcd1234", "allow")
    assert offline["id"] is None


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_mode_of_the_environment_comes_first(tmp_path, monkeypatch, server_that_is_away, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    wandb.teardown()
    write_and_close(WandbRun(tmp_path, project="sognet"), tmp_path)
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == (mode == "offline")


def test_other_words_for_offline_are_refused(tmp_path):
    with pytest.raises(InputError, match="maybe"):
        WandbRun(tmp_path, offline="maybe")
