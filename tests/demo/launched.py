"""Runs `python -m demo` as a user does, and tells what is left of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from django_loom.lab import ChildProcess

ROOT = Path(__file__).parents[2]
STARTING_SECONDS = 150.0


@dataclass
class Launched:
    """The demo, with the processes that it has started."""

    process: ChildProcess
    children: list[int] = field(default_factory=list)

    @property
    def output(self) -> str:
        return self.process.output

    @property
    def urls(self) -> list[str]:
        return re.findall(r"http\S+", self.output)

    @property
    def port(self) -> int:
        return int(self.urls[0].rstrip("/").rpartition(":")[2])

    def get(self, path: str) -> tuple[int, str]:
        """The status and the text of a page."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def stop(self, sig: signal.Signals) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(sig)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end; the exit code."""
        return self.process.wait()

    def is_ready(self) -> bool:
        """Whether it serves, or has given up."""
        return "Ctrl-C" in self.output or self.process.exit_code is not None


@contextmanager
def launched(data: Path, *arguments: str, **variables: str) -> Iterator[Launched]:
    """Run the demo with its data in a folder, until it is ready or has given up."""
    left_out = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE"}  # which conftest.py may have set
    inherited = {key: value for key, value in os.environ.items() if key not in left_out}
    with ChildProcess(
        [sys.executable, "-m", "demo", *arguments],
        "the demo",
        cwd=ROOT,
        env=inherited | {"LOOM_DEMO_DATA": str(data)} | variables,
        grace=0.0,
    ) as process:
        demo = Launched(process)
        process.wait_until(demo.is_ready, STARTING_SECONDS)
        demo.children = children_of(process.pid)
        yield demo


def children_of(process: int) -> list[int]:
    """The processes that it has started; each leads a group of its own."""
    found = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,pgid="], capture_output=True, text=True, check=True
    )
    rows = [[int(number) for number in line.split()] for line in found.stdout.splitlines()]
    return [pid for pid, parent, group in rows if parent == process and group == pid]


@contextmanager
def taken_port() -> Iterator[int]:
    """Give the number of a port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
