"""The ready-made servers, and how many requests each can have under way."""

from __future__ import annotations

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from django_loom.lab.exceptions import UsageError
from django_loom.lab.processes.pinning import cores, server_and_generator

SERVED = Path(__file__).parents[1] / "served"
CORES = len(cores()) or os.cpu_count() or 1
THREADS = 10  # of the threaded server; enough to show both sides of the limit
STARTS = {  # what starts a server, by the package that serves
    "gunicorn": "gunicorn",
    "uvicorn": str(SERVED / "serve_asgi.py"),
    "aiohttp": str(SERVED / "waiting_aiohttp.py"),
}
GUNICORN = ("-m", "gunicorn", "--workers", "1", "--log-level", "warning", "--no-control-socket")


@dataclass(frozen=True, slots=True)
class Kind:
    """A server that the lab can start.

    `arguments` are Python's; `{fd}` in them stands for the number of the listening socket.
    `view` is what answers: `async` or `sync`. `at_once` is how many requests it can have under
    way by its design. A user's own server has a `page` instead of a view, `headers` that each
    request has, the `directory` that it runs in, and where its `modules` are.
    `variables` are put into its environment.
    """

    name: str
    label: str
    arguments: tuple[str, ...]
    view: str
    at_once: float
    settings: str | None = None
    page: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    directory: str | None = None
    modules: tuple[str, ...] = (str(SERVED),)
    variables: tuple[tuple[str, str], ...] = ()

    def command(self, fd: int) -> list[str]:
        """The command that serves on the listening socket `fd`."""
        return [sys.executable, *(each.format(fd=fd) for each in self.arguments)]

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages of the extra `lab` that it needs."""
        found = [name for name, start in STARTS.items() if start in self.arguments]
        return (*found, "aiohttp") if self.view.startswith("home/") else tuple(found)

    def path(self, wait: float) -> str:
        """The user's page, or else the path whose view waits so many seconds."""
        return self.page or self.numbered_path(round(wait * 1000))

    def numbered_path(self, number: int) -> str:
        """The path that gives its view a number."""
        return f"/{self.view}/{number}/"


def gunicorn(*options: str, application: str = "waiting_site.wsgi") -> tuple[str, ...]:
    return (*GUNICORN, "--bind", "fd://{fd}", *options, application)


def asgi(application: str) -> tuple[str, ...]:
    return (STARTS["uvicorn"], "{fd}", application)


def default_threads() -> int:
    """The threads of asyncio's own executor in a server that is on one core if it can be."""
    pinned = server_and_generator()[0] is not None
    # From Python 3.13 on the executor counts the cores that its process may use.
    cores = 1 if pinned and sys.version_info >= (3, 13) else os.cpu_count() or 1
    return min(32, cores + 4)


SITE_ON_ASGI = asgi("waiting_site.asgi:application")
AIOHTTP = (STARTS["aiohttp"], "{fd}")
LOOM = asgi("waiting_site.loom_asgi:application")
SITE = "waiting_site.settings"
LOOM_SITE = "waiting_site.loom_settings"
KINDS = {
    kind.name: kind
    for kind in (
        Kind("aiohttp", "aiohttp", AIOHTTP, "async", math.inf),
        Kind("aiohttp-blocking", "aiohttp with time.sleep", AIOHTTP, "sync", 1),
        Kind("sync", "Django, gunicorn sync", gunicorn(), "sync", 1, SITE),
        Kind(
            "threads",
            f"Django, gunicorn {THREADS} threads",
            gunicorn("--threads", str(THREADS)),
            "sync",
            THREADS,
            SITE,
        ),
        Kind("asgi", "Django, ASGI", SITE_ON_ASGI, "async", math.inf, SITE),
        Kind(
            "loom",
            "Django, loom",
            LOOM,
            "async",
            math.inf,
            LOOM_SITE,
        ),
        Kind("sensitive", "sync_to_async", SITE_ON_ASGI, "sensitive", math.inf, SITE),
        Kind(
            "not-sensitive",
            "sync_to_async, not thread-sensitive",
            SITE_ON_ASGI,
            "not-sensitive",
            default_threads(),
            SITE,
        ),
        Kind("bridge", "the bridge", SITE_ON_ASGI, "bridge", math.inf, SITE),
        Kind(
            "cpu-processes",
            f"Django, gunicorn, {CORES} sync processes",
            gunicorn("--workers", str(CORES)),
            "cpu/process",
            CORES,
            SITE,
        ),
        Kind("cpu-loop", "Django, loom, computing on the loop", LOOM, "cpu/loop", 1, LOOM_SITE),
        Kind(
            "cpu-pool",
            f"Django, loom, a pool of {CORES} processes",
            LOOM,
            "cpu/pool",
            CORES,
            LOOM_SITE,
            variables=(("LAB_PROCESSES", str(CORES)),),
        ),
        Kind("home-sync", "sync, one after another", gunicorn(), "home/sync", 1, SITE),
        Kind("home-one-by-one", "awaited one by one", LOOM, "home/one-by-one", math.inf, LOOM_SITE),
        Kind("home-gathered", "gathered", LOOM, "home/gathered", math.inf, LOOM_SITE),
    )
}


def kind(name: str) -> Kind:
    """The ready-made server of that name; `UsageError` for another name."""
    if name not in KINDS:
        raise UsageError(f"there is no server {name!r}; there are: {', '.join(KINDS)}")
    return KINDS[name]
