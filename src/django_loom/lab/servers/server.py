"""Start a server as a process, see that it answers, warm it, and leave nothing of it behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import IO

from django_loom.lab.exceptions import ServerError
from django_loom.lab.servers.catalogue import Kind
from django_loom.lab.servers.environment import check_packages, environment

STARTING_SECONDS = 30.0
STOPPING_SECONDS = 5.0
POLL_SECONDS = 0.02
WARMING_REQUESTS = 30
WARMING_SECONDS = 2.0
LINES_SHOWN = 15
# Without the packages that are installed, as it starts before each server.
PROCESSES = Path(__file__).parents[1] / "processes"
WATCHED = (sys.executable, "-I", "-S", str(PROCESSES / "watched_command.py"))
BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Answer:
    """A response's status, the bytes of its body, and where it redirects to."""

    status: int
    length: int
    location: str | None


class Server:
    """A running server of a kind, at `url`."""

    def __init__(self, kind: Kind, core: int | None = None) -> None:
        self.kind = kind
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - stop() closes it
        # A socket that listens already: no other process can take its port meanwhile.
        with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
            self._port = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [*WATCHED, *kind.command(listener.fileno())],
                pass_fds=[listener.fileno()],
                env=environment(kind),
                cwd=kind.directory,
                stdin=subprocess.PIPE,  # its end ends the group, however this process ends
                stdout=self._log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, which stop() ends as a whole
            )
        if core is not None and sys.platform == "linux":
            with suppress(ProcessLookupError):
                os.sched_setaffinity(self.pid, {core})

    @property
    def pid(self) -> int:
        """The process, and the group, that it runs in."""
        return self._process.pid

    @property
    def url(self) -> str:
        """The URL of its root, without the slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    def warm(self) -> None:
        """Wait until it answers, then have it answer a few requests more.

        Raises `ServerError`, with the last lines that it wrote, if it does not. What a user's page
        answers may be an error too: that is for the comparison to judge.
        """
        deadline = monotonic() + STARTING_SECONDS
        while (answer := self.ask()) is None:
            if self.exit_code is not None:
                raise self._error(f"ended with exit code {self.exit_code}")
            if monotonic() > deadline:
                raise self._error(f"did not answer within {STARTING_SECONDS:.0f} s")
            sleep(POLL_SECONDS)
        if answer.status != http.HTTPStatus.OK and self.kind.page is None:
            raise self._error(f"answers {answer.status}")
        enough = monotonic() + WARMING_SECONDS
        for _ in range(WARMING_REQUESTS):
            if monotonic() < enough:
                self.ask()

    def ask(self) -> Answer | None:
        """What it answers when nothing shall wait; None if it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=STARTING_SECONDS)
        try:
            connection.request("GET", self.kind.path(0), headers=dict(self.kind.headers))
            response = connection.getresponse()
            return Answer(response.status, len(response.read()), response.getheader("Location"))
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def ask_to_stop(self) -> None:
        """Begin to end it; `stop` waits for that."""
        self._signal(signal.SIGTERM)

    def stop(self) -> None:
        """End it and every process of its group."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOPPING_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.communicate()
        self._log.close()

    @property
    def exit_code(self) -> int | None:
        """That of its process; None while it runs."""
        return self._process.poll()

    def last_lines(self) -> str:
        """The end of what it wrote."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").rstrip().splitlines()
        return "\n".join(lines[-LINES_SHOWN:]) or "(it wrote nothing)"

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def _error(self, what: str) -> ServerError:
        return ServerError(f"{self.kind.label} {what}; its last lines:\n{self.last_lines()}")


@contextmanager
def running(kinds: list[Kind], core: int | None = None) -> Iterator[dict[str, Server]]:
    """Servers that answer, by their names, all on one core; they are stopped at the end.

    Raises `MissingPackage` if one has not what it needs, and `ServerError` if one does not come up.
    However the block ends, no process is left.
    """
    for kind in kinds:
        check_packages(kind)
    servers: dict[str, Server] = {}
    try:
        for kind in kinds:
            servers[kind.name] = Server(kind, core)
        for server in servers.values():
            server.warm()
        yield servers
    finally:
        for server in servers.values():
            server.ask_to_stop()
        for server in servers.values():
            server.stop()
