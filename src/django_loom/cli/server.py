"""uvicorn, set up for django-loom: its limits, and how it stops."""

from __future__ import annotations

import os
import signal
import socket
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from uvicorn.supervisors import ChangeReload, Multiprocess

from .head_limits import LimitedProtocol
from .lifespan import Lifespan, LifespanRequired

# The exit code of an application that did not start, as uvicorn has it.
STARTUP_FAILURE = 3

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class Config(uvicorn.Config):
    """uvicorn's options, with ours.

    :param app: the application, as ``"module:attribute"``.
    :param grace: seconds that running requests get to finish when the server stops.
    :param head_timeout: seconds that a client gets to send a request's head.
    :param options: those of ``uvicorn.Config``.
    """

    def __init__(self, app: str, *, grace: float, head_timeout: float, **options: Any) -> None:
        self.head_timeout = head_timeout
        self.owns_process = False
        super().__init__(
            app,
            http=LimitedProtocol,
            lifespan="on",
            server_header=False,
            timeout_graceful_shutdown=grace,  # type: ignore[arg-type] # any number of seconds
            **options,
        )

    def load(self) -> None:
        """Import the application, and see to it that its lifespan is as it should be."""
        super().load()
        self.lifespan_class = Lifespan
        self.loaded_app: Any = LifespanRequired(self.loaded_app, str(self.app))


class Server(uvicorn.Server):
    """Exits with 0 when a signal stops it; the same signal again ends it at once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and leave the next such signal to the system, lest a busy loop hold it up."""
        self.should_exit = True
        signal.signal(sig, signal.SIG_DFL)


class Workers(Multiprocess):
    """uvicorn's worker processes; the second signal ends them and this process at once."""

    def handle_int(self) -> None:
        """Stop the workers."""
        self._stop(signal.SIGINT)
        super().handle_int()

    def handle_term(self) -> None:
        """Stop the workers."""
        self._stop(signal.SIGTERM)
        super().handle_term()

    def _stop(self, sig: int) -> None:
        if self.should_exit.is_set():
            self._end_at_once(sig)
        for each in _STOPPING:
            signal.signal(each, self._end_at_once)

    def _end_at_once(self, sig: int, frame: FrameType | None = None) -> NoReturn:
        for process in self.processes:
            process.kill()
        signal.signal(sig, signal.SIG_DFL)
        signal.raise_signal(sig)
        raise SystemExit(1)  # where the signal does not end the process

    @property
    def exit_code(self) -> int:
        """Return 0, or the code of a worker that could not start; signals have negative ones."""
        return max(0, *(process.exitcode or 0 for process in self.processes))


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound but does not listen yet.

    :raises OSError: the port is in use, or the host is not one of this machine's.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        if os.name == "posix":  # elsewhere it would allow two servers on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def run(config: Config, listener: socket.socket) -> int:
    """Serve until a signal comes.

    :return: the exit code: 0, or another number if the application did not start.
    """
    config.owns_process = True
    if config.should_reload:
        ChangeReload(config, target=Server(config).run, sockets=[listener]).run()
        return 0
    if config.workers > 1:
        workers = Workers(config, sockets=[listener])
        workers.run()
        return workers.exit_code
    server = Server(config)
    server.run(sockets=[listener])
    return 0 if server.started else STARTUP_FAILURE
