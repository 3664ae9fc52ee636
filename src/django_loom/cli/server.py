"""uvicorn, set up for django-loom: its limits, and how it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from uvicorn.supervisors import ChangeReload, Multiprocess

from .head_limits import LimitedProtocol
from .lifespan import Lifespan, LifespanRequired
from .listeners import SocketFile

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

    def get_loop_factory(self) -> Callable[[], asyncio.AbstractEventLoop] | None:
        """Return what makes the event loop, in each worker too."""
        factory = super().get_loop_factory()
        if factory is None or not self.is_ssl:
            return factory
        return partial(_limit_handshakes, factory, self.head_timeout)

    def load(self) -> None:
        """Import the application, and see to it that its lifespan is as it should be."""
        super().load()
        self.lifespan_class = Lifespan
        self.loaded_app: Any = LifespanRequired(self.loaded_app, str(self.app))


def _limit_handshakes(
    factory: Callable[[], asyncio.AbstractEventLoop], seconds: float
) -> asyncio.AbstractEventLoop:
    """Return a loop whose servers wait so long for the handshake that TLS puts before a head.

    uvicorn has no option for it, and asyncio's own time is a minute.
    """
    loop = factory()
    create_server: Any = loop.create_server

    def create_limited_server(*args: Any, ssl: Any = None, **options: Any) -> Any:
        if ssl:
            options.setdefault("ssl_handshake_timeout", seconds)
        return create_server(*args, ssl=ssl, **options)

    loop.create_server = create_limited_server  # type: ignore[method-assign]
    return loop


class Server(uvicorn.Server):
    """Exits with 0 when a signal stops it; the same signal again ends it at once.

    :param socket_file: what to remove as soon as it listens no more.
    """

    def __init__(self, config: Config, socket_file: SocketFile | None = None) -> None:
        super().__init__(config)
        self._socket_file = socket_file

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and wait for the running requests."""
        if self._socket_file is not None:
            self._socket_file.remove()
        await super().shutdown(sockets)

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


def run(config: Config, listener: socket.socket, socket_file: SocketFile | None = None) -> int:
    """Serve until a signal comes.

    :param socket_file: that of the listener, if it is a Unix socket; removed at the end.
    :return: the exit code: 0, or another number if the application did not start.
    """
    config.owns_process = True
    try:
        if config.should_reload:
            ChangeReload(config, target=Server(config).run, sockets=[listener]).run()
            return 0
        if config.workers > 1:
            workers = Workers(config, sockets=[listener])
            workers.run()
            return workers.exit_code
        server = Server(config, socket_file)
        server.run(sockets=[listener])
        return 0 if server.started else STARTUP_FAILURE
    finally:
        if socket_file is not None:
            socket_file.remove()
