"""A contender's server: started on Python's core, known to answer, stopped; its memory and CPU."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from benchmarks.harness import EQUAL_CONDITIONS, ROOT, cores
from benchmarks.http.serve import BACKLOG, SPECIFICATION
from django_loom.lab import ChildProcess

TICKS = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    """A server did not come up, or went away."""


@dataclass
class Server:
    """A server that answers on `port`; `pid` leads a process group of its own."""

    pid: int
    port: int
    _processes: list[int] | None = None

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def get(self, path: str, cookie: str = "", timeout: float = 60.0) -> tuple[int, bytes]:
        """The status and the body that a path answers."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request("GET", f"/{path}", headers={"Cookie": cookie} if cookie else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def resident(self) -> int:
        """Bytes of memory that are there, shared ones included."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        kib = next(line.split()[1] for line in text.splitlines() if line.startswith("Rss:"))
        return int(kib) * 1024

    def cpu(self) -> float:
        """Seconds of CPU time that the server's processes have used."""
        return sum(_cpu_ticks(pid) for pid in self.processes()) / TICKS

    def processes(self) -> list[int]:
        """The process that was started, and its children."""
        if self._processes is None:
            self._processes = _group(self.pid)
        return self._processes


def _stat(pid: int) -> list[str]:
    try:
        # After the command's name in parentheses, the third field of proc(5) first.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _group(leader: int) -> list[int]:
    found = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in found if (fields := _stat(pid)) and int(fields[2]) == leader]


def _cpu_ticks(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


@contextmanager
def serving(spec: dict[str, Any]) -> Iterator[Server]:
    """Run `benchmarks.http.serve` with a specification until the block ends.

    Raises ServerFailed, with the server's last words, if it does not answer.
    """
    chosen = cores()
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
        port = listener.getsockname()[1]
        spec = {**spec, "listener": listener.fileno()}
        process = ChildProcess(
            [sys.executable, "-m", "benchmarks.http.serve"],
            spec["server"],
            cwd=ROOT,
            env={**os.environ, **EQUAL_CONDITIONS, SPECIFICATION: json.dumps(spec)},
            inherited=[listener.fileno()],
            core=chosen[0] if chosen else None,
            grace=2.0,
        )
    # The listener is closed here, so that clients see it when the server is gone.
    with process:
        try:
            server = Server(process.pid, port)
            server.get("hello")
            yield server
        except (OSError, HTTPException) as error:
            process.stop()
            raise ServerFailed(_last_words(process.output) or repr(error)) from error


def _last_words(output: str) -> str:
    lines = [line.strip() for line in output.splitlines()]
    return next((line for line in reversed(lines) if line), "")
