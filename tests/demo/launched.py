"""Runs `python -m demo` as a user does, and tells what is left of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass
class Launched:
    """The demo, with the processes that it has started."""

    process: subprocess.Popen[str]
    output: str = ""
    children: list[int] = field(default_factory=list)

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
        """Read what is still said, wait for the end; the exit code."""
        assert self.process.stdout
        self.output += self.process.stdout.read()
        return self.process.wait()

    def read_until(self, text: str) -> None:
        """Read what is said until a text comes, or the end."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return


@contextmanager
def launched(data: Path, *arguments: str, **variables: str) -> Iterator[Launched]:
    """Run the demo with its data in a folder, until it is ready or has given up."""
    left_out = {"DATABASE_URL", "DJANGO_SETTINGS_MODULE"}  # which conftest.py may have set
    inherited = {key: value for key, value in os.environ.items() if key not in left_out}
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=inherited | {"LOOM_DEMO_DATA": str(data)} | variables,
        start_new_session=True,
    )
    demo = Launched(process)
    try:
        demo.read_until("Ctrl-C")
        demo.children = children_of(process.pid)
        yield demo
    finally:
        if process.poll() is None:
            process.kill()
        for child in demo.children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.communicate()  # closes what is read from


def children_of(process: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    pairs = [line.split() for line in found.stdout.splitlines()]
    return [int(child) for child, parent in pairs if int(parent) == process]


def runs(process: int) -> bool:
    """Tell if there is such a process, which is not one that only waits to be collected."""
    found = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return bool(found.stdout.strip()) and not found.stdout.startswith("Z")


@contextmanager
def taken_port() -> Iterator[int]:
    """Give the number of a port that is in use."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]
