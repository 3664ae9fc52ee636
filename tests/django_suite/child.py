"""Starts one child process, watches it, and ends it with everything that it started."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .child_config import ChildConfig
from .dump import DUMP_SIGNAL, DUMP_SIGNAL_IN_C
from .outcomes import CRASHED, HUNG

LAUNCHER = Path(__file__).with_name("launch.py")
POLL = 0.2
GRACE = 10.0


@dataclass
class Limits:
    """Limits of time: for the silence of one child, in seconds, and for the whole command."""

    silence: float
    deadline: float

    def expire(self) -> None:
        self.deadline = 0.0

    def passed(self) -> bool:
        return time.monotonic() > self.deadline


@dataclass
class Child:
    """One process that runs the tests of some labels."""

    labels: list[str]
    config: ChildConfig
    tests: Path
    output: Path
    limits: Limits

    def run(self) -> str:
        """Wait for the child's end, or end it; returns what its running test is to be called."""
        with (
            tempfile.TemporaryDirectory(prefix="loom_suite_") as scratch,
            self.output.open("ab") as output,
        ):
            process = subprocess.Popen(
                [sys.executable, str(LAUNCHER), "--noinput", "--parallel=1", *self.labels],
                cwd=self.tests,
                env=self._environment(scratch),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                return self._watch(process)
            finally:
                _kill_group(process)

    def _environment(self, scratch: str) -> dict[str, str]:
        settings = {"DJANGO_SETTINGS_MODULE": "django_suite.suite_settings", "TMPDIR": scratch}
        return os.environ | settings | self.config.to_environment()

    def _watch(self, process: subprocess.Popen[bytes]) -> str:
        size, since = -1, time.monotonic()
        while process.poll() is None:
            time.sleep(POLL)
            if (now := self._events_size()) != size:
                size, since = now, time.monotonic()
            if self.limits.passed() or time.monotonic() - since > self.limits.silence:
                _ask_for_dump(process)
                return HUNG
        return CRASHED

    def _events_size(self) -> int:
        return self.config.events.stat().st_size if self.config.events.exists() else 0


def _ask_for_dump(process: subprocess.Popen[bytes]) -> None:
    for number in (DUMP_SIGNAL, DUMP_SIGNAL_IN_C):
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            return


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
