"""Runs one experiment of `loom lab` at a time, as a process, whoever comes and goes."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import sys
from contextlib import suppress

from . import reports
from .choices import CHOICES
from .progress import Changes, Progress
from .reading import TERMINAL, BarReader

LIMIT_SECONDS = 240.0
ENDING_SECONDS = 10.0  # for the lab to stop its servers, and to draw what it has
SHUTDOWN_SECONDS = 5.0
PIECE_BYTES = 4096
COMMAND = (sys.executable, "-m", "django_loom.cli", "lab", "run")

logger = logging.getLogger(__name__)


class Busy(Exception):
    """An experiment is under way; only one runs at a time."""


class Experiments:
    """The experiment that runs, or the last one."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self.progress: Progress | None = None
        self.changes = Changes()
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, name: str, user: str) -> Progress:
        """Begin a quick experiment. It runs on when the request that began it has ended.

        :param name: one of ``CHOICES``.
        :raises Busy: another one is under way.
        """
        if self._task is not None and not self._task.done():
            raise Busy
        self.progress = Progress(name, CHOICES[name].title, user)
        self.changes.announce()
        # In a context of its own: this is no part of the request that asked for it.
        self._task = asyncio.create_task(self._run(self.progress), context=contextvars.Context())
        return self.progress

    def cancel(self) -> None:
        """Ask the running experiment to end; what is measured until then is kept."""
        if self.progress is None or self.progress.status != "running":
            return
        self.progress.status = "ending"
        self.changes.announce()
        if self._process is not None:
            self._end(self._process)

    async def stop(self) -> None:
        """End what runs, with its process; for the end of the server."""
        if self._task is None or self._task.done():
            return
        self.cancel()
        await asyncio.wait([self._task], timeout=SHUTDOWN_SECONDS)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self, progress: Progress) -> None:
        reader = BarReader()
        try:
            process = self._process = await self._started(progress.experiment)
            if progress.status == "ending":  # it was cancelled meanwhile
                self._end(process)
            async with asyncio.timeout(LIMIT_SECONDS):
                await self._follow(process, progress, reader)
            self._settle(progress, process.returncode, reader)
        except TimeoutError:
            progress.problem = f"It took longer than {LIMIT_SECONDS:g} s and was ended."
        except OSError as error:
            progress.problem = f"The lab could not be started: {error.strerror}"
        except Exception:
            logger.exception("The experiment %s", progress.experiment)
            progress.problem = "Something went wrong; the server's log says what."
        finally:
            await self._clean_up(progress)

    async def _started(self, name: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *self._command,
            *(name, "--quick", "--out", str(reports.reports_folder())),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **TERMINAL},
            start_new_session=True,  # the terminal's Ctrl-C is for the server, which ends it
        )

    async def _follow(
        self, process: asyncio.subprocess.Process, progress: Progress, reader: BarReader
    ) -> None:
        assert process.stdout is not None
        while piece := await process.stdout.read(PIECE_BYTES):
            step = reader.feed(piece.decode(errors="replace"))
            if step is not None and progress.advance(step.done, step.total, step.what):
                self.changes.announce()
        await process.wait()

    def _settle(self, progress: Progress, code: int | None, reader: BarReader) -> None:
        progress.has_report = any(line.startswith("Report: ") for line in reader.other_lines)
        if progress.status == "ending":
            progress.status = "cancelled"
        elif code == 0:
            progress.status = "finished"
        else:
            said = reader.other_lines[-1] if reader.other_lines else "it said nothing"
            progress.problem = f"The lab ended with exit code {code}: {said}"

    def _end(self, process: asyncio.subprocess.Process) -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        asyncio.get_running_loop().call_later(ENDING_SECONDS, _kill, process)

    async def _clean_up(self, progress: Progress) -> None:
        process, self._process = self._process, None
        try:
            if process is not None:
                _kill(process)
                await process.wait()
            await asyncio.to_thread(reports.remove_old)
        finally:
            if not progress.is_over:
                progress.status = "failed" if progress.problem else "cancelled"
            self.changes.announce()


def _kill(process: asyncio.subprocess.Process) -> None:
    """End a process that still runs. The lab's servers end with it, however it ends."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()


experiments = Experiments()
