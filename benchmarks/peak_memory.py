"""The kernel's own record of how much memory some processes had at most. Linux only."""

from __future__ import annotations

import os
from pathlib import Path


class PeakMemory:
    """The growth of a process group's resident set since the start of a block."""

    def __init__(self, group: int) -> None:
        self._group = group

    def __enter__(self) -> PeakMemory:
        self._processes = [int(each.name) for each in Path("/proc").iterdir() if self._has(each)]
        for pid in self._processes:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): resets VmHWM
        self._first = self._total("VmRSS")
        return self

    def __exit__(self, *ignored: object) -> None:
        pass

    def growth(self) -> int:
        """Bytes that the peak since the start is above what there was then."""
        return self._total("VmHWM") - self._first

    def _has(self, folder: Path) -> bool:
        try:
            return folder.name.isdigit() and os.getpgid(int(folder.name)) == self._group
        except ProcessLookupError:
            return False

    def _total(self, field: str) -> int:
        kib = 0
        for pid in self._processes:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
        return kib * 1024
