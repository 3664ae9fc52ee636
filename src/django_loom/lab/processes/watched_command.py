"""Become a command whose group of processes ends with this one's standard input.

`python watched_command.py SECONDS COMMAND...` as the leader of a session; so long the group may
take to end. Who started it alone holds the other end of the standard input, which closes when that
process ends, however it ends, SIGKILL included.
"""

from __future__ import annotations

import os
import signal
import sys
import time

OPEN_FILES = range(1, 65536)  # but for the standard input
POLL_SECONDS = 0.05


def watch(command: int, grace: float) -> None:
    """Wait for the end of the standard input, then end every process of the group."""
    # What ends the command at leisure must leave its watcher until all is over.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    # A listening socket that stays open here would take connections that nobody accepts, and
    # whoever reads the command's output would wait for the watcher's, too.
    os.closerange(OPEN_FILES.start, OPEN_FILES.stop)
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while os.getppid() == command and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    command = os.getpid()
    if os.fork() == 0:
        watch(command, float(sys.argv[1]))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.execvp(sys.argv[2], sys.argv[2:])
