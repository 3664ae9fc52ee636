"""The demo under ``loom serve``, in a process of its own, with its data in a temporary folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django_loom.lab import ChildProcess
from tests.http.servers.client import connect

ROOT = Path(__file__).resolve().parents[2]
SERVE = [sys.executable, "-m", "django_loom.cli", "serve", "demo.project.asgi:application"]
ADDRESS = re.compile(r"on http://127\.0\.0\.1:(\d+)")
STOP_SECONDS = 15


@dataclass
class Site:
    """A running server."""

    folder: Path
    sessions: dict[str, str]
    process: ChildProcess
    exit_code: int = 0
    cuts_requests_short: bool = False  # when it stops, which uvicorn logs with a traceback

    @property
    def log(self) -> str:
        """All that the server has written."""
        return self.process.output

    @property
    def port(self) -> int:
        found = ADDRESS.search(self.log)
        assert found, self.log
        return int(found[1])

    @property
    def storage(self) -> Path:
        return self.folder / "uploads" / "homework"

    def stored(self) -> list[Path]:
        """The files that are whole."""
        return [path for path in self.storage.glob("*") if path.suffix != ".part"]

    def parts(self) -> list[Path]:
        """The files that are still arriving."""
        return list(self.storage.glob("*.part"))

    def resident(self) -> int:
        """Bytes of memory that the server has."""
        listing = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, check=True
        )
        return int(listing.stdout) * 1024

    def stop(self) -> None:
        """Ask the server to end, and see to it that it does."""
        self.process.stop()

    def kill(self) -> None:
        """End the server in the midst of what it does."""
        self.exit_code = -signal.SIGKILL
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def has_started(self) -> bool:
        """Whether it takes connections: uvicorn says that it has started a moment before."""
        if "Application startup complete" not in self.log:
            return False
        try:
            connect(self.port).close()
        except ConnectionRefusedError:
            return False
        return True


def prepare(folder: Path) -> dict[str, str]:
    """Make the database in a folder; return the students' sessions."""
    command = [sys.executable, "-m", "tests.demo_homework.prepare"]
    result = subprocess.run(
        command, cwd=ROOT, env=_environment(folder), capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    sessions: dict[str, str] = json.loads(result.stdout)
    return sessions


@contextmanager
def running(folder: Path, sessions: dict[str, str], **variables: str) -> Iterator[Site]:
    """Serve the demo for the length of a block, with these environment variables as well."""
    with ChildProcess(
        [*SERVE, "--port", "0", "--grace", "1"],
        "the demo",
        cwd=ROOT,
        env={**_environment(folder), **variables},
        grace=STOP_SECONDS,
    ) as process:
        site = Site(folder, sessions, process)
        process.wait_until(site.has_started)
        yield site
    assert process.exit_code == site.exit_code, site.log
    assert site.cuts_requests_short or "Traceback" not in site.log, site.log


def _environment(folder: Path) -> dict[str, str]:
    unset = ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    return {**inherited, "LOOM_DEMO_DATA": str(folder), "PYTHONUNBUFFERED": "1"}
