"""Start a process, wait until it is ready, and leave nothing of it behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Self

from django_loom.lab.exceptions import ServerError

STARTING_SECONDS = 30.0
GRACE_SECONDS = 5.0
POLL_SECONDS = 0.02
LINES_SHOWN = 15
# Without the packages that are installed, as it starts before each process.
WATCHED = (sys.executable, "-I", "-S", str(Path(__file__).with_name("watched_command.py")))


class ChildProcess:
    """A process that ends with this one, however this one ends, and with all that it has started.

    It leads a group of its own, which Ctrl-C in the terminal does not reach. What it writes is
    kept. A context manager that stops it.

    :param command: what to run; its standard input is empty.
    :param name: what messages call it.
    :param env: its environment; None for this process's.
    :param inherited: open files that it gets under the same numbers.
    :param core: the processor core that it stays on, where the system can do that.
    :param grace: seconds that its group may take to end when it is asked to; then it is killed.
    :param shown: its output goes where this process's goes, and is not kept.
    """

    def __init__(
        self,
        command: Sequence[str],
        name: str,
        *,
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
        core: int | None = None,
        grace: float = GRACE_SECONDS,
        shown: bool = False,
    ) -> None:
        self.name = name
        self._grace = grace
        self._shown = shown
        # stop() closes it.
        self._log: IO[bytes] | None = None if shown else tempfile.TemporaryFile()  # noqa: SIM115
        self._output = ""  # once the log is closed
        self._is_over = False
        self._process = subprocess.Popen(
            [*WATCHED, str(grace), *command],
            cwd=cwd,
            env=env,
            pass_fds=inherited,
            stdin=subprocess.PIPE,  # its end ends the group, however this process ends
            stdout=self._log,
            stderr=None if shown else subprocess.STDOUT,
            start_new_session=True,  # a group of its own, which stop() ends as a whole
        )
        if core is not None and sys.platform == "linux":
            with suppress(ProcessLookupError):
                os.sched_setaffinity(self.pid, {core})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process, and the group that it leads."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """That of the process; None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """All that it and the processes of its group have written so far."""
        if self._log is None:
            return self._output
        # Not read(), which would move the place where the process writes.
        log = self._log.fileno()
        kept: bytes = os.pread(log, os.fstat(log).st_size, 0)
        return kept.decode(errors="replace")

    def last_lines(self) -> str:
        """The end of what it wrote."""
        return "\n".join(self.output.rstrip().splitlines()[-LINES_SHOWN:]) or "(it wrote nothing)"

    def wait_until(self, ready: Callable[[], bool], seconds: float = STARTING_SECONDS) -> None:
        """Return when it is ready.

        :raises ServerError: it has ended, or that took longer than so many seconds.
        """
        deadline = monotonic() + seconds
        while True:
            code = self.exit_code  # asked first: it may be ready, and then end
            if ready():
                return
            if code is not None:
                raise self.error(f"ended with exit code {code}")
            if monotonic() > deadline:
                raise self.error(f"did not answer within {seconds:.0f} s")
            sleep(POLL_SECONDS)

    def wait_until_listening(self, port: int, seconds: float = STARTING_SECONDS) -> None:
        """Return when a port of this machine is listened to; raises what `wait_until` does."""
        self.wait_until(lambda: listens(port), seconds)

    def wait_for_line(self, begin: str, seconds: float = STARTING_SECONDS) -> str:
        """Wait for a line that begins so; what follows in it. Raises what `wait_until` does."""
        line = re.compile(rf"^{re.escape(begin)}(.*)\n", re.MULTILINE)
        self.wait_until(lambda: line.search(self.output) is not None, seconds)
        return str(line.findall(self.output)[0]).strip()

    def error(self, what: str) -> ServerError:
        """An error that says what happened to it, and what it wrote last."""
        wrote = "" if self._shown else f"; its last lines:\n{self.last_lines()}"
        return ServerError(f"{self.name} {what}{wrote}")

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        self._process.send_signal(number)

    def terminate(self) -> None:
        """Ask the group to end; `stop` waits for that."""
        self._signal_group(signal.SIGTERM)

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the end of the process; its exit code.

        :raises subprocess.TimeoutExpired: that took longer than so many seconds.
        """
        return self._process.wait(seconds)

    def stop(self) -> int:
        """End the group: ask, wait as long as it may take, kill. The exit code of the process."""
        self.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self.wait(self._grace)
        finally:  # be it Ctrl-C once more
            self._signal_group(signal.SIGKILL)
            self._is_over = True
        self._process.communicate()
        if self._log is not None:
            self._output = self.output
            self._log.close()
            self._log = None
        return self._process.returncode

    def _signal_group(self, number: signal.Signals) -> None:
        if self._is_over:  # and the number may be another group's
            return
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
