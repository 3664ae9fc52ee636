"""The sockets that a server listens on."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress

# Whoever gets into its directory may connect: a proxy seldom runs as the server's user.
SOCKET_MODE = 0o666


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


def bind_unix(path: str) -> socket.socket:
    """Return a Unix socket that is bound to a path.

    A socket that a killed server has left there is replaced by one with the same
    permissions. It listens already, so that a server which starts meanwhile finds it
    in use; connections wait until they are accepted.

    :raises OSError: a server listens there, there is another file, or none can be made.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    mode = _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        os.chmod(path, SOCKET_MODE if mode is None else mode)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    listener.set_inheritable(True)
    return listener


def _remove_stale(path: str) -> int | None:
    """Remove a socket that nobody listens on; return its permissions, None if there is none."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "there is a file that is not a socket")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)  # lest a full backlog hold it up
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return stat.S_IMODE(mode)
        except BlockingIOError:
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


class SocketFile:
    """The file of a Unix socket that this process has bound."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(path)  # the application may go elsewhere
        self._status = os.lstat(path)

    def remove(self) -> None:
        """Remove the file, unless it is gone or another server's by now."""
        with suppress(OSError):
            if os.path.samestat(os.lstat(self._path), self._status):
                os.unlink(self._path)
