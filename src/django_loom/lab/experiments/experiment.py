"""What an experiment is: a question, what varies, and what answers it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from django_loom.lab.analysis.figures import Figures
from django_loom.lab.exceptions import UsageError
from django_loom.lab.load.plan import MAX_CLIENTS, MAX_REQUESTS

MAX_REPEATS = 100
MAX_WAIT = 10.0
MAX_SERVICES = 20
MAX_SECONDS = 60.0  # of one load


def nothing_beside() -> AbstractContextManager[dict[str, str]]:
    return nullcontext({})


@dataclass(frozen=True, slots=True)
class Point:
    """One load of one server; `x` is the value of what varies.

    `number` is what stands in the path of its requests: without it the milliseconds of `wait`.
    `at_once` is how many requests can be under way by what the server needs, such as its pool of
    connections, if that is fewer than by its own design.
    """

    server: str
    x: float
    clients: int
    wait: float
    number: int | None = None
    at_once: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How much is measured: clients, waits in seconds, services, and each load's length.

    A load sends for `seconds`, or `requests` if these are sent before, and waits for its answers.
    `wait` is how long requests wait where that does not vary. With `cross_check` ab and wrk, where
    they are there, repeat each point.
    """

    clients: tuple[int, ...] = (5, 10, 20, 40)
    waits: tuple[float, ...] = (0.1, 0.2, 0.3)
    services: tuple[int, ...] = (2, 5, 10, 20)
    repeats: int = 5
    seconds: float = 1.0
    requests: int | None = None
    wait: float = 0.1
    keep_alive: bool = True
    cross_check: bool = False

    def __post_init__(self) -> None:
        if not self.clients or not all(1 <= each <= MAX_CLIENTS for each in self.clients):
            raise UsageError(f"clients must be from 1 to {MAX_CLIENTS}, not {self.clients}")
        if not self.waits or not all(0.001 <= each <= MAX_WAIT for each in self.waits):
            raise UsageError(f"waits must be from 0.001 to {MAX_WAIT:g} s, not {self.waits}")
        if not 0.001 <= self.wait <= MAX_WAIT:
            raise UsageError(f"wait must be from 0.001 to {MAX_WAIT:g} s, not {self.wait}")
        if not self.services or not all(1 <= each <= MAX_SERVICES for each in self.services):
            raise UsageError(f"services must be from 1 to {MAX_SERVICES}, not {self.services}")
        if not 0.01 <= self.seconds <= MAX_SECONDS:
            raise UsageError(f"seconds must be from 0.01 to {MAX_SECONDS:g}, not {self.seconds}")
        if self.requests is not None and not 1 <= self.requests <= MAX_REQUESTS:
            raise UsageError(f"requests must be from 1 to {MAX_REQUESTS}, not {self.requests}")
        if not 1 <= self.repeats <= MAX_REPEATS:
            raise UsageError(f"repeats must be from 1 to {MAX_REPEATS}, not {self.repeats}")

    def quick(self) -> Depth:
        """Two values of what varies, each measured for a short time."""
        return replace(
            self, clients=(5, 20), waits=(0.1, 0.2), services=(2, 10), repeats=3, seconds=0.2
        )

    def changed(self, **changes: Any) -> Depth:
        """The same with some fields replaced; raises `UsageError` for a wrong value."""
        return replace(self, **changes)

    def wide(self) -> Depth:
        """As many clients as a thousand."""
        return replace(self, clients=(*self.clients, 100, 200, 400, 1000))


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """`points` gives what to measure of one server, `conclude` what the figures say.

    `beside` runs what the servers need beside them, and gives the variables of their environment
    that say where it is. Unless `pinned`, the servers have every processor core.
    """

    name: str
    question: str
    varies: str
    expected: str
    servers: tuple[str, ...]
    points: Callable[[Depth, str], list[Point]]
    conclude: Callable[[Figures], list[str]]
    beside: Callable[[], AbstractContextManager[dict[str, str]]] = nothing_beside
    pinned: bool = True
