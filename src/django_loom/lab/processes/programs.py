"""Run another program for so long at most, and leave nothing of it behind."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress


class ProgramError(Exception):
    """A program gave no output; the text says why, in a few words."""


def run_program(command: list[str], seconds: float, core: int | None) -> str:
    """What a program prints, on that processor core.

    Raises `ProgramError` if it cannot be run, fails, or takes longer than so many seconds.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C comes to this process, which then ends the other
        )
    except OSError as error:
        raise ProgramError(f"{command[0]} cannot be run: {error.strerror}") from error
    with process:
        try:
            if core is not None and sys.platform == "linux":
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(process.pid, {core})
            output, complaint = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise ProgramError(f"{command[0]} did not end within {seconds:.0f} s") from None
        finally:
            process.kill()
    if process.returncode:
        last = [line for line in complaint.splitlines() if line.strip()][-1:]
        raise ProgramError(f"{command[0]} failed: {' '.join(last) or 'it wrote nothing'}")
    return output
