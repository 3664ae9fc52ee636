"""One measurement: a load on one route of a running server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

from benchmarks.harness import cores
from benchmarks.http.peers import ROUTES, Peer
from benchmarks.http.servers import Server
from django_loom.lab import LoadPlan, run_load

WARM_UP = 0.4  # seconds: connections open, caches fill, the interpreter specialises
SHORT_WARM_UP = 0.15  # connections open; the rest has been done
LONG_WARM_UP = 2.5  # a thousand clients connect, and a hundred connections to the database
TIMEOUT = 20.0  # seconds
TURNS = 4  # windows of each contender on a route, in each repeat
INTERVAL = 0.05  # between looks at the server's CPU time


class Busy:
    """How much of its core a server uses while the load is measured."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._seen: list[tuple[float, float]] = []
        self._ended = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._ended.wait(INTERVAL):
            self._seen.append((monotonic(), self._server.cpu()))

    def share(self, window: float) -> float:
        """Over so many seconds until the server used CPU time for the last time."""
        if not self._seen:
            return 0.0
        total = self._seen[-1][1]
        last = next(when for when, cpu in self._seen if cpu == total)
        then, before = next(seen for seen in self._seen if seen[0] >= last - window)
        return (total - before) / (last - then) if last > then else 0.0


def measure(
    server: Server,
    peer: Peer,
    route_name: str,
    seconds: float,
    cookie: str,
    warm_up: float = WARM_UP,
) -> dict[str, Any]:
    """Load a route for some seconds; rates per second, latencies in ms."""
    route, chosen = ROUTES[route_name], cores()
    plan = LoadPlan(
        url=server.url(route_name),
        clients=peer.fewer_clients.get(route_name, route.clients),
        seconds=seconds * route.longer,
        warmup=LONG_WARM_UP if route.clients > 100 else warm_up,
        headers=(("Cookie", cookie),) if route_name == "session" else (),
        core=chosen[1] if chosen else None,
        timeout=TIMEOUT,
    )
    busy = Busy(server)
    with busy.watching():
        found = run_load(plan)
    return {
        "per_second": round(found.requests_per_second, 2),
        "p50_ms": found.latency.p50 if found.latency else None,
        "p99_ms": found.latency.p99 if found.latency else None,
        "requests": found.requests,
        "failures": found.failures,
        "server_busy": round(busy.share(seconds * route.longer), 3),
        "generator_busy": round(found.cpu_seconds / found.seconds, 3),
    }
