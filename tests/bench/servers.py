"""Servers on loopback for benchmarks: nginx as an origin and as a proxy."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ANSWER = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
    '"message":{"role":"assistant","content":"' + "A quiet harbour at dusk. " * 12 + '"},'
    '"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":60,"total_tokens":69}}'
)

_NGINX = """
worker_processes 1;
{affinity}
daemon off;
pid {root}/pid;
error_log /dev/null;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {root}; proxy_temp_path {root}; fastcgi_temp_path {root};
  uwsgi_temp_path {root}; scgi_temp_path {root};
  keepalive_requests 10000000;
  keepalive_timeout 3600;
  client_max_body_size 64m;
  client_body_buffer_size 4m;
  {more}
  server {{ listen 127.0.0.1:{port} backlog=8192; {location} }}
}}
"""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(port: int, seconds: float = 60.0) -> None:
    """Until something listens on the port."""
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def wait_until_ready(url: str, seconds: float = 120.0) -> None:
    """Until a proxy of ours has loaded what its policy needs, which takes its core meanwhile."""
    until = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=10).close()
            return
        except OSError:  # 503 is one
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@contextmanager
def serving(command: Sequence[str], port: int, core: int | None = None) -> Iterator[int]:
    """Run a server on one core until the block ends; gives its process id."""

    def pin() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    process = subprocess.Popen(
        command, preexec_fn=pin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_for(port)
        yield process.pid
    except OSError:
        process.kill()
        errors = process.stderr.read() if process.stderr else b""
        sys.exit(f"{command[0]} did not start:\n{errors.decode(errors='replace')[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def nginx(location: str, more: str = "", core: int | None = None) -> Iterator[tuple[str, int]]:
    """An nginx with one worker: its address, and the process id of its master."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        sys.exit("nginx is not installed: apt-get install nginx-light")
    port = free_port()
    affinity = "" if core is None else f"worker_cpu_affinity {1 << core:b};"
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o777)
        file = Path(root) / "nginx.conf"
        file.write_text(
            _NGINX.format(root=root, port=port, location=location, more=more, affinity=affinity)
        )
        with serving([program, "-c", str(file), "-p", root], port, core) as pid:
            yield f"http://127.0.0.1:{port}", pid


@contextmanager
def nginx_origin(core: int | None = None) -> Iterator[str]:
    """An upstream that answers every call with the same 600 bytes."""
    answer = ANSWER.replace("'", "\\'")
    with nginx(
        f"location / {{ default_type application/json; return 200 '{answer}'; }}", core=core
    ) as (url, _):
        yield url


@contextmanager
def reading_origin(core: int | None = None) -> Iterator[str]:
    """The same, but it reads a call to its end before it answers, as a model server does."""
    with nginx_origin(core) as inner:
        more = f"upstream inner {{ server {inner.removeprefix('http://')}; keepalive 100; }}"
        location = (
            "location / { proxy_pass http://inner; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; proxy_pass_request_body off;'
            ' proxy_set_header Content-Length ""; }'
        )
        with nginx(location, more, core) as (url, _):
            yield url


@contextmanager
def nginx_proxy(origin: str, core: int | None = None) -> Iterator[tuple[str, int]]:
    """nginx in front of an origin, with connections kept on both sides and nothing buffered."""
    host = origin.removeprefix("http://")
    more = f"upstream origin {{ server {host}; keepalive 2000; keepalive_requests 10000000; }}"
    location = (
        "location / { proxy_pass http://origin; proxy_http_version 1.1;"
        ' proxy_set_header Connection ""; proxy_buffering off; proxy_read_timeout 600s; }'
    )
    with nginx(location, more, core) as found:
        yield found
