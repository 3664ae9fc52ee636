"""Where the demo's processes listen; on this machine only."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"


def free_port(preferred: int) -> int:
    """Return the preferred port, or another one if that is taken."""
    if not _answers(preferred):
        try:
            return _bound(preferred)
        except OSError:
            pass
    return _bound(0)


def listener() -> socket.socket:
    """Return a socket that listens on a free port, for a process that is to inherit it."""
    return socket.create_server((HOST, 0))


def _answers(port: int) -> bool:
    # Where a server listens on all addresses, some systems let another one take this address.
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((HOST, port)) == 0


def _bound(port: int) -> int:
    with socket.create_server((HOST, port)) as server:
        return int(server.getsockname()[1])
