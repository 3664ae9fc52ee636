"""Start a server as a process, see that it answers, warm it, and leave nothing of it behind."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from django_loom.lab.processes.child import ChildProcess
from django_loom.lab.servers.catalogue import Kind
from django_loom.lab.servers.environment import check_packages, environment

ANSWERING_SECONDS = 30.0
WARMING_REQUESTS = 30
WARMING_SECONDS = 2.0
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
        # A socket that listens already: no other process can take its port meanwhile.
        with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
            self._port = listener.getsockname()[1]
            self.process = ChildProcess(
                kind.command(listener.fileno()),
                kind.label,
                cwd=kind.directory,
                env=environment(kind),
                inherited=[listener.fileno()],
                core=core,
            )

    @property
    def url(self) -> str:
        """The URL of its root, without the slash at its end."""
        return f"http://127.0.0.1:{self._port}"

    def warm(self) -> None:
        """Wait until it answers, then have it answer a few requests more.

        What a user's page answers may be an error: that is for the comparison to judge.

        :raises ServerError: it does not answer, or not as it should; with the last lines that it
            wrote.
        """
        self.process.wait_until(self._answers)
        enough = monotonic() + WARMING_SECONDS
        for _ in range(WARMING_REQUESTS):
            if monotonic() < enough:
                self.ask()

    def _answers(self) -> bool:
        answer = self.ask()
        if answer and answer.status != http.HTTPStatus.OK and self.kind.page is None:
            raise self.process.error(f"answers {answer.status}")
        return answer is not None

    def ask(self) -> Answer | None:
        """What it answers when nothing shall wait; None if it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWERING_SECONDS)
        try:
            connection.request("GET", self.kind.path(0), headers=dict(self.kind.headers))
            response = connection.getresponse()
            return Answer(response.status, len(response.read()), response.getheader("Location"))
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()


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
            server.process.terminate()
        for server in servers.values():
            server.process.stop()
