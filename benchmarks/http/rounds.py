"""Goes through contenders and routes, a server for each pool size and number of threads."""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import AbstractContextManager, ExitStack
from http.client import HTTPException
from typing import Any

from benchmarks import harness
from benchmarks.database import Target
from benchmarks.http import alone, crowd, points, tables
from benchmarks.http.figures import Sample
from benchmarks.http.peers import PEERS, ROUTES, specification
from benchmarks.http.points import TURNS
from benchmarks.http.servers import Server, ServerFailed, serving
from django_loom.lab.exceptions import LabError

# Threads to try where the core is the limit, and where the database's sleep is.
FEW, MANY = (1, 2, 4, 8, 16), (32, 100)
ALONE = "Django without a server"

Servers = dict[tuple[str, int | None], Server | None]  # by name and threads; None: it failed


class Bench:
    """The measurements on one database, and what went wrong."""

    def __init__(self, target: Target, seconds: float, routes: list[str]) -> None:
        self.target = target
        self.seconds = seconds
        self.routes = routes
        self.samples: list[dict[str, Any]] = []
        self.memory_samples: list[dict[str, Any]] = []
        self.alone_samples: list[dict[str, Any]] = []
        self.tried: list[dict[str, Any]] = []
        self.threads: dict[str, dict[str, int]] = {}
        self.failures: dict[str, str] = {}
        self._refill()
        self._expected = tables.expected(target)

    def _refill(self) -> None:
        self._cookie = tables.fill(self.target)

    def look_for_threads(self, name: str) -> None:
        """Try a server with each number of threads; the fastest is taken for each route."""
        for numbers, waiting in ((FEW, False), (MANY, True)):
            routes = [route for route in self.routes if ROUTES[route].is_waiting == waiting]
            for number in numbers if routes else ():
                found = self._measure_on(name, routes, 0, number, self.seconds / 2)
                self.tried += [{"threads": number, **sample} for sample in found]
        best: dict[str, dict[str, Any]] = {}
        for sample in (tried for tried in self.tried if tried["peer"] == name):
            route = sample["route"]
            if route not in best or sample["per_second"] > best[route]["per_second"]:
                best[route] = sample
        self.threads[name] = {route: sample["threads"] for route, sample in best.items()}

    def measure(self, names: list[str], repeat: int) -> None:
        """Measure all routes that the contenders have."""
        with ExitStack() as stack:
            servers: Servers = {}
            for route in self.routes:
                if not ROUTES[route].is_waiting:
                    self._take_turns(stack, servers, names, route, repeat)
        for name in names:
            self._measure_waiting(name, repeat)

    def _take_turns(
        self, stack: ExitStack, servers: Servers, names: list[str], route: str, repeat: int
    ) -> None:
        """Measure a route in short windows, one contender after the other, a few times over.

        What slows the machine down for some seconds, as its other guests do, then slows all
        contenders down alike. A server starts with its first turn, and stays: an idle one costs
        next to nothing.
        """
        print(f"repeat {repeat + 1}: {route}, {TURNS} turns", file=sys.stderr)
        for turn in range(TURNS):
            for name in harness.rotated(names, turn):
                if not self._left(name, [route]):
                    continue
                place = name, self._threads(name, route)
                if place not in servers:
                    servers[place] = self._started(stack, route, *place)
                if (server := servers[place]) is not None:
                    warm_up = points.SHORT_WARM_UP if turn else points.WARM_UP
                    seconds = self.seconds / TURNS
                    self.samples += self._window(server, name, route, repeat, seconds, warm_up)

    def _started(
        self, stack: ExitStack, route: str, name: str, threads: int | None
    ) -> Server | None:
        try:
            return stack.enter_context(self._server(name, ROUTES[route].connections, threads))
        except ServerFailed as error:
            self.failures[name] = str(error)
            return None

    def _measure_waiting(self, name: str, repeat: int) -> None:
        """Measure the routes whose time is the database's, each contender by itself."""
        groups: dict[int | None, list[str]] = defaultdict(list)
        for route in self.routes:
            if ROUTES[route].is_waiting:
                groups[self._threads(name, route)].append(route)
        for threads, routes in groups.items():
            self.samples += self._measure_on(name, routes, repeat, threads, self.seconds)

    def _threads(self, name: str, route: str) -> int | None:
        """The best number if it was looked for; else a thread for each connection that waits."""
        peer = PEERS[name]
        if peer.counts_threads:
            return self.threads[peer.threads_of or name].get(route)
        return ROUTES[route].connections if ROUTES[route].is_waiting else None

    def _left(self, name: str, routes: list[str]) -> list[str]:
        """The routes that a contender has, and has not failed in."""
        if name in self.failures:
            return []
        have = [route for route in routes if route not in PEERS[name].missing]
        return [route for route in have if f"{name}, {route}" not in self.failures]

    def _measure_on(
        self, name: str, routes: list[str], repeat: int, threads: int | None, seconds: float
    ) -> list[Sample]:
        """Measure routes that want the same server on one."""
        left = self._left(name, routes)
        found: list[Sample] = []
        if not left:
            return found
        print(f"repeat {repeat + 1}: {name}, {' '.join(left)}", file=sys.stderr)
        try:
            with self._server(name, ROUTES[left[0]].connections, threads) as server:
                for route in left:
                    found += self._window(server, name, route, repeat, seconds)
        except ServerFailed as error:
            self.failures[name] = str(error)
        return found

    def _window(
        self,
        server: Server,
        name: str,
        route: str,
        repeat: int,
        seconds: float,
        warm_up: float = points.WARM_UP,
    ) -> list[Sample]:
        """One sample; none if it failed, which is noted."""
        try:
            tables.check(server, route, self._expected[route], self._cookie)
            found = points.measure(server, PEERS[name], route, seconds, self._cookie, warm_up)
        except (tables.WrongAnswer, LabError, OSError, HTTPException) as error:
            self.failures[f"{name}, {route}"] = str(error) or repr(error)
            return []
        return [{"repeat": repeat, "peer": name, "route": route, **found}]

    def _server(
        self, name: str, connections: int, threads: int | None
    ) -> AbstractContextManager[Server]:
        return serving(specification(PEERS[name], connections, threads, vars(self.target)))

    def measure_alone(self, repeat: int) -> None:
        """Measure what plain Django takes without a server."""
        asked = {route: self._expected[route] for route in self.routes if route in alone.ROUTES}
        if not asked or ALONE in self.failures:
            return
        print(f"repeat {repeat + 1}: {ALONE}, {' '.join(asked)}", file=sys.stderr)
        try:
            found = alone.measure(vars(self.target), self._cookie, asked, self.seconds / 2)
        except harness.WorkerFailed as error:
            self.failures[ALONE] = str(error)
            return
        self.alone_samples += [
            {"repeat": repeat, "route": route, "cpu_us": cost} for route, cost in found.items()
        ]

    def measure_memory(self, name: str, repeat: int, clients: int) -> None:
        """Measure what a contender keeps for each client that sleeps."""
        if "sleep" in PEERS[name].missing or {name, f"{name}, sleep"} & self.failures.keys():
            return
        print(f"repeat {repeat + 1}: {name}, sleep", file=sys.stderr)
        try:
            with self._server(name, 32, None) as server:
                sample = crowd.memory(server, clients)
        except ServerFailed as error:
            self.failures[name] = str(error)
        except tables.WrongAnswer as error:
            self.failures[f"{name}, sleep"] = str(error)
        else:
            self.memory_samples.append({"repeat": repeat, "peer": name, **sample})

    def result(self) -> dict[str, Any]:
        return {
            "threads": self.threads,
            "failures": self.failures,
            "thread_samples": self.tried,
            "samples": self.samples,
            "alone_samples": self.alone_samples,
            "memory_samples": self.memory_samples,
        }
