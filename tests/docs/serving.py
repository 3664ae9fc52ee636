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
from http.client import HTTPConnection, HTTPException

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


def with_port(line: str, port: int) -> list[str]:
    """Python's arguments for a command line, with its port replaced or added."""
    program, *arguments = shlex.split(line)
    changed = [each.replace("8000", str(port)) for each in arguments]
    if changed == arguments:
        changed += ["--port", str(port)]
    return ["-m", MODULES[program], *changed]


@contextmanager
def served(project: Project, line: str) -> Iterator[int]:
    """The port of a server that this command has started; it ends with the block."""
    port = free_port()
    log = project.path("log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *with_port(line, port)],
            cwd=project.folder,
            env=environment(),
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
        yield port
        process.terminate()
        process.wait(STOP_SECONDS)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
