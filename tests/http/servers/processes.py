"""Server processes that run the site."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

from django_loom.lab import ChildProcess
from tests.http.servers.client import Answer, get

ROOT = Path(__file__).resolve().parents[3]
APPLICATION = "tests.http.servers.site.asgi:application"
STOP_SECONDS = 10


@dataclass(frozen=True)
class Kind:
    """A server program: how to start it, and what it is known not to do, with the reason."""

    name: str
    command: Callable[[int, str], list[str]]
    cannot: dict[str, str] = field(default_factory=dict)
    exit_code: int = 0  # after SIGTERM

    def needs(self, ability: str) -> None:
        """Skip the test, with the reason, if this server can't do what it is about."""
        if ability in self.cannot:
            pytest.skip(f"{self.name}: {self.cannot[ability]}")


@dataclass
class RunningServer:
    """A server that answers on `port`; its process leads a group of its own."""

    kind: Kind
    name: str
    port: int
    process: ChildProcess

    def get(self, path: str) -> Answer:
        return get(self.port, path)

    def record(self, name: str) -> dict[str, Any]:
        """What the site noted of the requests with this record."""
        content: dict[str, Any] = json.loads(self.get(f"/record/{name}").body)
        return content

    def notes(self, name: str) -> list[str]:
        notes: list[str] = self.record(name)["notes"]
        return notes

    def statistics(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.get("/statistics").body)
        return content

    def output(self) -> str:
        """All that the server has written so far."""
        return self.process.output

    def resident(self) -> int:
        """Bytes of memory that the server's processes have."""
        listing = subprocess.run(
            ["ps", "-A", "-o", "pgid=,rss="], capture_output=True, text=True, check=True
        )
        rows = (line.split() for line in listing.stdout.splitlines())
        return sum(int(rss) * 1024 for group, rss in rows if int(group) == self.process.pid)

    def stop(self) -> int:
        """Ask the server to end, as a supervisor does; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.process.error("did not stop") from None

    def answers(self) -> bool:
        with suppress(OSError, HTTPException):
            return self.get("/plain").status == 200
        return False


@contextmanager
def running(
    kind: Kind, site: dict[str, Any], application: str = APPLICATION
) -> Iterator[RunningServer]:
    """Run a server until the block ends, however it ends.

    :param site: what the site's settings read: `folder`, `database`, `name`, `loom`.
    """
    folder = Path(site["folder"])
    (folder / "uploads").mkdir(parents=True, exist_ok=True)
    port = _free_port()
    environment = {**os.environ, "LOOM_SITE": json.dumps(site), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", *kind.command(port, application)]
    with ChildProcess(command, kind.name, cwd=ROOT, env=environment, grace=STOP_SECONDS) as process:
        server = RunningServer(kind, site["name"], port, process)
        process.wait_until(server.answers)
        yield server


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
