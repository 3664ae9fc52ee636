"""Requests that wait, in this process without a server, and what the collector does then."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any
from unittest.mock import patch

from benchmarks.harness import loop_factory, read_spec
from benchmarks.http.layers import SCOPE
from benchmarks.http.serve import django_application

WARM_UP = 3  # requests of each client


class Collections:
    """What the collector did since `begin()`."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.objects = 0
        self._started = 0.0
        gc.callbacks.append(self._note)

    def begin(self) -> None:
        self.seconds, self.objects = [], 0

    def _note(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self.seconds.append(time.perf_counter() - self._started)
            self.objects += info["collected"]


async def request(application: Any) -> None:
    """One request of a client that stays until it has its answer."""
    status = 0
    arrived = [{"type": "http.request", "body": b"", "more_body": False}]
    gone: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def receive() -> dict[str, Any]:
        return arrived.pop() if arrived else await gone

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await application({**SCOPE, "path": "/wait", "raw_path": b"/wait"}, receive, send)
    if status != 200:
        raise AssertionError(f"the status is {status}")


async def client(application: Any, requests: int) -> None:
    for _ in range(requests):
        await asyncio.create_task(request(application))


async def measure(application: Any, clients: int, requests: int) -> dict[str, float]:
    messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    serving = asyncio.create_task(application({"type": "lifespan"}, messages.get, answers.put))
    await messages.put({"type": "lifespan.startup"})
    await answers.get()
    found = Collections()
    await asyncio.gather(*(client(application, WARM_UP) for _ in range(clients)))
    found.begin()
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client(application, requests) for _ in range(clients)))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    seconds, objects = found.seconds, found.objects
    await messages.put({"type": "lifespan.shutdown"})
    await serving
    return {
        "per second": clients * requests / wall,
        "cpu us": cpu / clients / requests * 1e6,
        "longest ms": max(seconds, default=0.0) * 1e3,
        "share": sum(seconds) / cpu,
        "objects": objects / clients / requests,
    }


def main() -> None:
    spec = read_spec()
    application = django_application(spec)
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        coroutine = measure(application, spec["clients"], spec["requests"])
        if spec["release"]:
            found = runner.run(coroutine)
        else:
            with patch("django_loom.http.handler.release", lambda held: None):
                found = runner.run(coroutine)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
