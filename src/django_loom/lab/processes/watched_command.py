"""Become a command whose group of processes ends with this one's standard input.

`python watched.py COMMAND...` as the leader of a session. The other end of the standard input is
held by the lab alone: it closes when the lab ends, however it ends, SIGKILL included.
"""

from __future__ import annotations

import os
import signal
import sys

INHERITED = range(3, 65536)  # file descriptors after the standard ones


def watch() -> None:
    """Wait for the end of the standard input, then end every process of the group."""
    # What ends the server at leisure must leave its watcher until the lab says that it is over.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # A listening socket that stays open here would take connections that nobody accepts.
    os.closerange(INHERITED.start, INHERITED.stop)
    os.read(0, 1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    if os.fork() == 0:
        watch()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.execvp(sys.argv[1], sys.argv[1:])
