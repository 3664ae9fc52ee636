"""How far an experiment is, for everybody who looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

STARTING = "starting the servers"


@dataclass(slots=True)
class Progress:
    """An experiment that runs, or the last one that did.

    ``status`` is running, ending, finished, cancelled or failed; ``problem`` says why it failed.
    """

    experiment: str
    title: str
    started_by: str
    status: str = "running"
    done: int = 0
    total: int = 0
    now: str = STARTING
    problem: str = ""
    has_report: bool = False

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status not in ("running", "ending")

    def advance(self, done: int, total: int, now: str) -> bool:
        """Take over how far it is; tell if that is new."""
        before = (self.done, self.total, self.now)
        self.done, self.total, self.now = done, total, now
        return before != (done, total, now)

    def as_json(self) -> dict[str, Any]:
        """Return what the page's script needs."""
        return {
            "status": self.status,
            "over": self.is_over,
            "done": self.done,
            "total": self.total,
            "now": self.now,
        }


class Changes:
    """Tells any number of listeners that something changed.

    Nothing is queued for them: who is slow misses states in between, never the newest.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def announce(self) -> None:
        """Wake all listeners."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def follow(self, progress: Progress, seconds: float) -> AsyncIterator[Progress]:
        """Yield the state at once, then at each change, until the experiment is over.

        :param seconds: after which it ends in any case.
        """
        end = asyncio.get_running_loop().time() + seconds
        changed = self._changed
        yield progress
        while not progress.is_over:
            try:
                async with asyncio.timeout_at(end):
                    await changed.wait()
            except TimeoutError:
                return
            changed = self._changed  # before the state is read: no change is missed
            yield progress
