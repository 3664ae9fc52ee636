"""The processes that the demo starts, and their end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType

from .parent import VARIABLE

# More than the server's own grace time, and the time it gives to what was cancelled then.
STOP_TIMEOUT = 15.0


class Processes:
    """Processes that end together: in order at the end of the block, or with this process."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[bytes]] = []
        self._watched, self._held = os.pipe()

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._stop()
        finally:
            for process in self._started:
                process.kill()
                process.wait()
            os.close(self._held)
            os.close(self._watched)

    def start(
        self, *arguments: str, inherited: tuple[int, ...] = (), **variables: str
    ) -> subprocess.Popen[bytes]:
        """Start a Python module.

        :param arguments: its name, and what it is given.
        :param inherited: numbers of open files that the process inherits.
        :param variables: what its environment has beyond this one's.
        """
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=(self._watched, *inherited),
            env=os.environ | {VARIABLE: str(self._watched)} | variables,
            start_new_session=True,  # the terminal's Ctrl-C is for this process only
        )
        self._started.append(process)
        return process

    def _stop(self) -> None:
        for process in self._started:
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT
        for process in self._started:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
