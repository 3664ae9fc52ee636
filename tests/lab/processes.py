"""Which processes are still there."""

from __future__ import annotations

import os
from pathlib import Path


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A killed process whose parent is gone waits for init, which may take its time in a container.
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z")


def has_processes(group: int) -> bool:
    """Whether a group has a process that runs."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    stats = list(Path("/proc").glob("[0-9]*/stat"))
    return not stats or any(is_member(stat, group) for stat in stats)


def is_member(stat: Path, group: int) -> bool:
    try:
        state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False  # it ended
    return int(its_group) == group and state != "Z"
