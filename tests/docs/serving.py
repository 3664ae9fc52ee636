"""Runs the servers of the documentation, on another port."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.polling import eventually

from .project import Project, environment

MODULES = {
    "loom": "django_loom.cli",
    "uvicorn": "uvicorn",
    "granian": "granian",
    "hypercorn": "hypercorn",
}
STOP_SECONDS = 20


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def get(port: int, path: str) -> tuple[int, str]:
    """The status and the body that a server answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def with_port(line: str, port: int) -> tuple[dict[str, str], list[str]]:
    """The variables and Python's arguments of a command line, with its port replaced or added."""
    words = shlex.split(line)
    variables = {}
    while "=" in words[0]:
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    program, *arguments = words
    changed = [each.replace("8000", str(port)) for each in arguments]
    if changed == arguments:
        changed += ["--port", str(port)]
    return variables, changed if program == "python" else ["-m", MODULES[program], *changed]


@dataclass(frozen=True)
class Server:
    """A server that answers on `port`."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> tuple[int, str]:
        return get(self.port, path)

    @property
    def output(self) -> str:
        return self.log.read_text()


@contextmanager
def served(project: Project, line: str) -> Iterator[Server]:
    """A server that this command has started; it ends with the block."""
    port = free_port()
    log = project.path("log")
    variables, arguments = with_port(line, port)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=project.folder,
            env=environment() | variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(OSError, HTTPException):
            return bool(get(port, "/")[0])
        return False

    try:
        eventually(answers)
        yield Server(port, process, log)
        process.terminate()
        process.wait(STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
