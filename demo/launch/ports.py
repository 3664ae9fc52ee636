"""Where the demo's processes listen; on this machine only."""

from __future__ import annotations

import socket
from argparse import ArgumentTypeError

HOST = "127.0.0.1"


def port_number(text: str) -> int:
    """Read a port, as an argument of a command line.

    :raises ArgumentTypeError: it is none.
    """
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise ArgumentTypeError(f"a port is a number of 1 to 65535, not {text!r}")
    return int(text)


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
