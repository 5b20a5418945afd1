"""The registry of public data sets, against a server on this machine."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sognet.data.datasets.download import CITATIONS, fetch, registry
from sognet.data.datasets.published import PAIRS
from sognet.errors import InputError

CONTENT = b"2\nProperties=species:S:1:pos:R:3\nNa 0 0 0\nCl 0 0 2.5\n"


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/a.xyz" else 404)
            self.end_headers()
            self.wfile.write(CONTENT if self.path == "/a.xyz" else b"")

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch, request):
    if "reference_data" not in request.fixturenames:
        monkeypatch.delenv("SOGNET_DATA", raising=False)


def row(url: str, content: bytes = CONTENT) -> dict:
    return {"set/a.xyz": {"url": url, "sha256": hashlib.sha256(content).hexdigest(), "bytes": 60, "license": "CC0"}}


def test_file_is_downloaded_once_and_checked(server, tmp_path, caplog):
    caplog.set_level("INFO")
    path = fetch("set/a.xyz", tmp_path, row(f"{server}/a.xyz"))
    assert path.read_bytes() == CONTENT
    assert "licence CC0" in caplog.text
    assert fetch("set/a.xyz", tmp_path, row("http://127.0.0.1:1/gone")) == path


def test_wrong_content_is_refused(server, tmp_path):
    with pytest.raises(InputError, match=r"set/a\.xyz could not be downloaded"):
        fetch("set/a.xyz", tmp_path, row(f"{server}/a.xyz", b"something else"))
    assert not (tmp_path / "set" / "a.xyz").exists()


def test_unreachable_server_says_how_to_help_oneself(tmp_path):
    with pytest.raises(InputError, match="by hand and put it at"):
        fetch("set/a.xyz", tmp_path, row("http://127.0.0.1:1/a.xyz"))


def test_changed_local_file_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.xyz").write_text("changed")
    with pytest.raises(InputError, match="SHA-256 differs"):
        fetch("set/a.xyz", tmp_path, row("http://127.0.0.1:1/a.xyz"))


def test_two_processes_download_once(server, tmp_path, caplog):
    caplog.set_level("INFO")
    rows = row(f"{server}/a.xyz")
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: fetch("set/a.xyz", tmp_path, rows), range(4)))
    assert {p.read_bytes() for p in paths} == {CONTENT}
    assert caplog.text.count("licence CC0") == 1


def test_a_cache_that_cannot_be_written_to_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file/set/a\.xyz: cannot be written.*set paths\.data"):
        fetch("set/a.xyz", tmp_path / "file", row(f"{server}/a.xyz"))


def test_all_pairs_of_dimers_are_registered():
    for number in PAIRS.values():
        for split in ("train", "test"):
            entry = registry()[f"dimers/{split}-id{number}.xyz"]
            assert entry["url"].startswith("https://")
            assert len(entry["sha256"]) == 64
            assert entry["license"]


def test_every_registered_set_says_what_to_cite(server, tmp_path, caplog):
    assert {entry["dataset"] for entry in registry().values()} == set(CITATIONS)
    caplog.set_level("INFO")
    rows = row(f"{server}/a.xyz")
    rows["set/a.xyz"]["dataset"] = "dimers"
    fetch("set/a.xyz", tmp_path, rows)
    assert f"cite {CITATIONS['dimers']}" in caplog.text


def test_mirror_is_read(reference_data):
    path = reference_data("dimers/train-id0.xyz")
    assert fetch("dimers/train-id0.xyz") == path
