"""Runs `loom` as its users do: a process, with its output and its sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.polling import eventually

ROOT = Path(__file__).parents[2]
APP = "tests.cli.app:application"


def loom(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, check=False)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "django_loom.cli", *arguments]


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    log: Path
    port: int = 0

    @property
    def output(self) -> str:
        return self.log.read_text()

    @property
    def events(self) -> list[str]:
        """What the application has noted."""
        return re.findall(r"<([^>\n]*)>\n", self.output)

    def wait_for(self, text: str) -> None:
        eventually(lambda: text in self.output or self.process.poll() is not None)
        assert text in self.output, self.output

    def connect(self, data: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        client.sendall(data)
        return client

    def get(self) -> bytes:
        with self.connect(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") as client:
            return read_all(client)

    def stop(self, sig: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(sig)
        return self.process.wait()


@contextmanager
def serve(folder: Path, *options: str, app: str = APP) -> Iterator[Served]:
    """Serve on a free port, and be ready."""
    log = folder / "output"
    with log.open("w") as output:
        process = subprocess.Popen(
            command("serve", app, "--port", "0", *options),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    served = Served(process, log)
    try:
        served.wait_for("startup complete")
        found = re.search(r"on http://127\.0\.0\.1:(\d+)", served.output)
        assert found
        served.port = int(found[1])
        eventually(lambda: listens(served.port))
        yield served
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def read_all(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    data = b""
    while part := client.recv(65536):
        data += part
    return data
