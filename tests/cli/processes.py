"""Runs `loom` as its users do: a process, with its output and its sockets."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from django_loom.lab import ChildProcess

ROOT = Path(__file__).parents[2]
APP = "tests.cli.app:application"


def loom(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, check=False)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "django_loom.cli", *arguments]


# `--reload` has one process that serves, and one that watches.
SEVERAL = [[], ["--workers", "2"], ["--reload"]]
several = pytest.mark.parametrize("options", SEVERAL, ids=["one process", "workers", "reload"])


@dataclass
class Served:
    """A server that runs; with `path` it listens there, and `tls` is what its clients trust."""

    process: ChildProcess
    port: int = 0
    path: Path | None = None
    tls: ssl.SSLContext | None = None

    @property
    def output(self) -> str:
        return self.process.output

    @property
    def events(self) -> list[str]:
        """What the application has noted."""
        return re.findall(r"<([^>\n]*)>\n", self.output)

    def wait_for(self, text: str) -> None:
        self.process.wait_until(lambda: text in self.output)

    def connect(self, data: bytes = b"") -> socket.socket:
        client = self.connect_plainly()
        if self.tls is not None:
            client = self.tls.wrap_socket(client, server_hostname="127.0.0.1")
        client.sendall(data)
        return client

    def connect_plainly(self) -> socket.socket:
        if self.path is None:
            return socket.create_connection(("127.0.0.1", self.port), timeout=30)
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(30)
        client.connect(str(self.path))
        return client

    def get(self, path: str = "/", *headers: str) -> bytes:
        head = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", ""]
        with self.connect("\r\n".join(head).encode()) as client:
            return read_all(client)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(sig)
        return self.process.wait()


@contextmanager
def serve(
    *options: str,
    app: str = APP,
    path: Path | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[Served]:
    """Serve on a free port, or on a Unix socket with that path, and be ready."""
    where = ["--port", "0"] if path is None else ["--uds", str(path)]
    with started("serve", app, *where, *options) as process:
        served = Served(process, path=path, tls=tls)
        served.wait_for("startup complete")
        if path is None:
            scheme = "http" if tls is None else "https"
            found = re.search(rf"on {scheme}://127\.0\.0\.1:(\d+),", served.output)
            assert found
            served.port = int(found[1])
            process.wait_until_listening(served.port)
        yield served


def started(*arguments: str, cwd: Path = ROOT, **variables: str) -> ChildProcess:
    """A command that runs until the block ends."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"} | variables
    return ChildProcess(command(*arguments), "loom", cwd=cwd, env=environment, grace=0.0)


def assert_refused(message: str, *arguments: str) -> None:
    """The command says in a line what is wrong, and ends with 2."""
    result = loom(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"Error: {message}\n"


def read_all(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    data = b""
    while part := client.recv(65536):
        data += part
    return data
