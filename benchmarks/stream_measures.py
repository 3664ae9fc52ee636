"""What `benchmarks.http_streams` measures, each on a server of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.harness import (
    ROOT,
    WorkerFailed,
    cores,
    pin,
)
from benchmarks.peak_memory import PeakMemory
from tests.http.servers.client import ask, connect, send_head
from tests.http.servers.conftest import DATABASE
from tests.http.servers.loads import MIB, SPARSE_BYTES, upload
from tests.http.servers.processes import Kind, RunningServer, running
from tests.polling import eventually
from tests.services import PrivatePostgres

HANDLERS = {"loom": "site.asgi", "stock": "site.stock_asgi"}
DOWNLOAD = "import sys; from tests.http.servers.loads import download; download(int(sys.argv[1]))"
ALONE_SECONDS = 3.0
WAITS = {
    "asyncio.sleep()": "/wait/sleep",
    "query, async view": "/wait/query",
    "query, on_loop view": "/wait/query-on-loop",
    "async iterator": "/wait/async-parts",
    "sync iterator, thread": "/wait/endless",
}


class Bench:
    """One database, and servers with the site on it."""

    def __init__(self, postgres: PrivatePostgres, repeats: int, leaves: int) -> None:
        self.postgres = postgres
        self.repeats = repeats
        self.leaves = leaves

    @contextmanager
    def server(self, kind: Kind, handler: str) -> Iterator[RunningServer]:
        """A server on Python's core, and this process on the other."""
        server_core, client_core = cores() or (None, None)
        with tempfile.TemporaryDirectory() as folder:
            with (Path(folder) / "sparse").open("wb") as sparse:
                sparse.truncate(SPARSE_BYTES)
            site = {
                "folder": folder,
                "name": f"{kind.name}-{uuid.uuid4().hex[:8]}",
                "database": self.postgres.django(NAME=DATABASE),
                "loom": {},
            }
            pin(server_core)
            with running(kind, site, f"tests.http.servers.{HANDLERS[handler]}:application") as one:
                pin(client_core)
                for _ in range(50):
                    one.get("/plain")
                yield one

    def bodies(self, kind: Kind, handler: str) -> dict[str, Any]:
        """The figures of uploads and downloads."""
        rows = [
            {**self.upload(kind, handler), **self.downloads(kind, handler)}
            for _ in range(self.repeats)
        ]
        medians = {name: round(statistics.median(row[name] for row in rows), 1) for name in rows[0]}
        return {"server": kind.name, "handler": handler, **medians}

    def upload(self, kind: Kind, handler: str) -> dict[str, float]:
        with self.server(kind, handler) as server, PeakMemory(server.process.pid) as memory:
            started = time.monotonic()
            answer, ahead = upload(server, "/upload/slow-in-thread", uuid.uuid4().hex)
            if answer.status != 200:
                raise WorkerFailed(server.last_lines())
            return {
                "upload_mib": memory.growth() / MIB,
                "upload_ahead_mib": ahead / MIB,
                "upload_s": time.monotonic() - started,
            }

    def downloads(self, kind: Kind, handler: str) -> dict[str, float]:
        with self.server(kind, handler) as server, PeakMemory(server.process.pid) as memory:
            end = time.monotonic() + ALONE_SECONDS
            alone = _page_times(server, lambda: time.monotonic() < end)
            command = [sys.executable, "-c", DOWNLOAD, str(server.port)]
            started = time.monotonic()
            clients = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
            times = _page_times(server, lambda: any(each.poll() is None for each in clients))
            if any(each.returncode for each in clients):
                raise WorkerFailed(server.last_lines())
            return {
                "download_mib": memory.growth() / MIB,
                "download_s": time.monotonic() - started,
                "page_p50_ms": statistics.median(times) * 1000,
                "page_p99_ms": _p99(times) * 1000,
                "page_max_ms": max(times) * 1000,
                "page_alone_p99_ms": _p99(alone) * 1000,
            }

    def leaving(self, kind: Kind) -> list[dict[str, Any]]:
        """How long views and queries outlive their clients."""
        with (
            self.server(kind, "loom") as server,
            psycopg.connect(self.postgres.dsn, autocommit=True) as watching,
        ):
            return [
                {"server": kind.name, "waits in": name, **self.leave(server, watching, path)}
                for name, path in WAITS.items()
            ]

    def leave(self, server: RunningServer, watching: Any, path: str) -> dict[str, float]:
        views: list[float] = []
        queries: list[float] = []
        for _ in range(self.leaves):
            view, query = _leave(server, watching, path, uuid.uuid4().hex)
            views.append(view)
            queries += [query] if "query" in path else []
        figures = {"view": views} | ({"query": queries} if queries else {})
        return {
            f"{of}_{kind}_ms": round(measure(times) * 1000, 1)
            for of, times in figures.items()
            for kind, measure in (("median", statistics.median), ("worst", max))
        }


def _leave(server: RunningServer, watching: Any, path: str, name: str) -> tuple[float, float]:
    """Seconds that a view and its query, if it has one, outlive their client."""
    with connect(server.port) as connection:
        send_head(connection, "GET", f"{path}?record={name}")
        eventually(lambda: server.notes(name) == ["started"])
        if "query" in path:
            eventually(lambda: _is_querying(watching, server.name))
    left = time.monotonic()
    while _is_querying(watching, server.name):
        pass
    query = time.monotonic() - left
    eventually(lambda: "answered" in server.notes(name))
    return server.record(name)["ended"] - left, query


def _is_querying(watching: Any, name: str) -> bool:
    found = watching.execute(
        "SELECT 1 FROM pg_stat_activity WHERE application_name = %s AND state = 'active'", [name]
    )
    return found.fetchone() is not None


def _page_times(server: RunningServer, go_on: Callable[[], bool]) -> list[float]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    times = []
    try:
        while go_on():
            started = time.perf_counter()
            ask(connection, "GET", "/plain")
            times.append(time.perf_counter() - started)
    finally:
        connection.close()
    return times


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]
