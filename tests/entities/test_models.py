"""Weights fetched from a server on loopback, checked, listed."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from guardrail import NotRun
from guardrail.cli import main
from guardrail.models import ModelError, Source, damage, model_folder, pull

WEIGHTS = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Answers as a model hub does: large files by a redirect that names their sha256."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.endswith("open_clip_model.safetensors") and "/resolve/" in path:
            self.send_response(302)
            self.send_header("X-Linked-Etag", f'"{SHA256}"')
            self.send_header("Location", f"/store/{'wrong' if 'broken' in path else 'right'}")
            self.end_headers()
            return
        bodies = {"right": WEIGHTS, "wrong": WEIGHTS[:-1] + b"x", "config.json": b"{}"}
        body = bodies.get(path.rpartition("/")[2])
        if path.endswith("open_clip_config.json"):
            body = b'{"model_cfg": {}}'
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (100 if "cut" in path else 0)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GUARDRAIL_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["models", *words])
    return done.exit_code, done.output


def test_a_model_of_open_clip_is_pulled_whole_and_checked(
    hub: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub)
    code, said = run("pull", "open_clip/ViT-B-32/laion2b_s34b_b79k")
    assert code == 0, said
    assert f"sha256 {SHA256} (checked)" in said
    folder = model_folder("open_clip/ViT-B-32/laion2b_s34b_b79k")
    assert folder.is_relative_to(home)
    assert (folder / "open_clip_model.safetensors").read_bytes() == WEIGHTS
    assert run("list")[1].startswith("open_clip/ViT-B-32/laion2b_s34b_b79k  whole")


def test_a_file_by_its_address(hub: str) -> None:
    code, said = run("pull", "mine", "--url", f"{hub}/store/right", "--sha256", SHA256)
    assert code == 0, said
    assert (model_folder("mine") / "right").read_bytes() == WEIGHTS
    code, said = run("pull", "other", "--url", f"{hub}/config.json")
    assert "not checked" in said


@pytest.mark.parametrize(
    ("file", "sha256", "words"),
    [
        ("store/right", "0" * 64, "has the sha256"),
        ("broken/resolve/main/open_clip_model.safetensors", None, "has the sha256"),
        ("nothing", None, r"cannot be fetched \(404\)"),
        ("cut/config.json", None, r"bytes came of 102|cannot be fetched"),
    ],
)
def test_what_is_not_right_is_not_kept(
    hub: str, home: Path, file: str, sha256: str | None, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        pull("bad", [Source(f"{hub}/{file}", "weights.bin", sha256)], lambda *_: None)
    assert not list((home / "bad").glob("*"))
    with pytest.raises(NotRun, match="guardrail models pull bad"):
        model_folder("bad")


def test_a_file_that_is_there_is_not_fetched_again(home: Path, hub: str) -> None:
    pull("mine", [Source(f"{hub}/store/right", "w.bin", SHA256)], lambda *_: None)
    gone = Source("http://127.0.0.1:9/w.bin", "w.bin", SHA256)
    assert pull("mine", [gone], lambda *_: None) == home / "mine"


def test_an_optional_file_may_be_missing(hub: str) -> None:
    sources = [
        Source(f"{hub}/store/right", "w.bin", SHA256),
        Source(f"{hub}/nothing", "x", optional=True),
    ]
    assert damage(pull("mine", sources, lambda *_: None)) == []


def test_a_changed_file_is_told(hub: str, home: Path) -> None:
    pull("mine", [Source(f"{hub}/store/right", "w.bin", SHA256)], lambda *_: None)
    (home / "mine" / "w.bin").write_bytes(b"changed")
    code, said = run("list")
    assert code == 1
    assert "mine  w.bin is not what was fetched" in said


@pytest.mark.parametrize(
    ("name", "url"),
    [("../out", "http://127.0.0.1:9/x"), ("a b", "http://127.0.0.1:9/x"), ("m", "file:///etc/x")],
)
def test_names_and_addresses_are_bounded(name: str, url: str) -> None:
    code, said = run("pull", name, "--url", url)
    assert code == 2
    assert "name of a model" in said or "only http" in said


def test_an_unknown_model_says_what_there_is() -> None:
    code, said = run("pull", "open_clip/ViT-B-32/nothing")
    assert code == 2
    assert "laion2b_s34b_b79k" in said
    assert "names begin with" in run("pull", "unknown/model")[1]


def test_a_server_that_does_not_answer_is_told_by_its_reason(hub: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/a"
        with pytest.raises(ModelError, match="Connection refused"):
            pull("mine", [Source(address, "a")], lambda *_: None)
