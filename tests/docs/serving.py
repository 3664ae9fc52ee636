"""Runs the servers of the documentation, on another port."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException

from django_loom.lab import ChildProcess

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
    process: ChildProcess

    def get(self, path: str) -> tuple[int, str]:
        return get(self.port, path)

    def answers(self) -> bool:
        with suppress(OSError, HTTPException):
            return bool(self.get("/")[0])
        return False

    @property
    def output(self) -> str:
        return self.process.output


@contextmanager
def served(project: Project, line: str) -> Iterator[Server]:
    """A server that this command has started; it ends with the block."""
    port = free_port()
    variables, arguments = with_port(line, port)
    with ChildProcess(
        [sys.executable, *arguments],
        line,
        cwd=project.folder,
        env=environment() | variables,
        grace=STOP_SECONDS,
    ) as process:
        server = Server(port, process)
        process.wait_until(server.answers)
        yield server
