"""What `loom lab run` says while it runs, read from its terminal output."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass

# With these the lab draws its progress bar as in a terminal, and each change of it can be read.
TERMINAL = {"FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "200"}

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BAR = re.compile(r"(?P<done>\d+)/(?P<total>\d+) +(?P<left>\S+) +(?P<what>\S.*)")
_MAX_LINE = 2000


@dataclass(frozen=True, slots=True)
class Step:
    """A state of the progress bar: loads that are measured, of how many, and the last one."""

    done: int
    total: int
    what: str


class BarReader:
    """Takes the output in pieces, wherever it was cut, and finds the newest state in it."""

    def __init__(self) -> None:
        self.other_lines: deque[str] = deque(maxlen=10)
        self._rest = ""

    def feed(self, piece: str) -> Step | None:
        """Return the newest whole state in what came so far, if there is a new one."""
        *lines, self._rest = re.split(r"[\r\n]+", self._rest + piece)
        self._rest = self._rest[-_MAX_LINE:]
        step = None
        for line in lines:
            step = self._read(_CONTROL.sub("", line).strip()) or step
        return step

    def _read(self, line: str) -> Step | None:
        found = _BAR.search(line)
        if found is not None:
            return Step(int(found["done"]), int(found["total"]), found["what"].strip())
        if line:
            self.other_lines.append(line)
        return None
