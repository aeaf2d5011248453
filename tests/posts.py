"""A server on loopback that answers posts as a test says, from threads of its own."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Post:
    """One request: its path, its headers, and its body, unpacked where it was packed."""

    path: str
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, bytes, dict[str, str]]


class Posts(ThreadingHTTPServer):
    """Answers with what `answer` makes of a request, and keeps the requests."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Post], Answer]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.posts: list[Post] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Posts

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        post = Post(self.path, self.headers, body)
        self.server.posts.append(post)
        status, said, headers = self.server.answer(post)
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(said))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):  # nobody waits for it any more
            self.wfile.write(said)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def posts(answer: Callable[[Post], Answer]) -> Iterator[Posts]:
    server = Posts(answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def in_json(value: Any, status: int = 200) -> Answer:
    """An answer in JSON, or with these bytes in its place."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return status, body, {"content-type": "application/json"}
