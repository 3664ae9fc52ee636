"""What the handler and each middleware add to a request, called in this process without a server.

A handler for each length of the list of middleware; they take turns, a few hundred requests each,
and the fastest turn of each counts: what slows a turn down comes from outside. The difference
between two neighbours is what the middleware between them costs.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from collections.abc import Callable
from io import BytesIO
from time import process_time
from typing import Any

from benchmarks.harness import loop_factory, read_spec
from benchmarks.http.answers import GREETING
from benchmarks.http.serve import django_application
from benchmarks.http.tables import WrongAnswer

TURNS, REQUESTS = 30, 300
HOST = [(b"host", b"127.0.0.1"), (b"user-agent", b"benchmark"), (b"accept", b"*/*")]
SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.4"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "path": "/hello",
    "raw_path": b"/hello",
    "query_string": b"",
    "root_path": "",
    "headers": HOST,
    "client": ("127.0.0.1", 50000),
    "server": ("127.0.0.1", 80),
}
ENVIRON = {
    "REQUEST_METHOD": "GET",
    "PATH_INFO": "/hello",
    "SCRIPT_NAME": "",
    "QUERY_STRING": "",
    "SERVER_NAME": "127.0.0.1",
    "SERVER_PORT": "80",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "HTTP_HOST": "127.0.0.1",
    "HTTP_USER_AGENT": "benchmark",
    "HTTP_ACCEPT": "*/*",
    "wsgi.url_scheme": "http",
}
Turn = Callable[[int], bytes]


def asgi_turns(application: Any, runner: asyncio.Runner) -> Turn:
    """Each request in a task of its own, as servers do it."""
    arrived = {"type": "http.request", "body": b"", "more_body": False}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return arrived

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def requests(number: int) -> bytes:
        for _ in range(number):
            sent.clear()
            await asyncio.create_task(application(dict(SCOPE), receive, send))
        return bytes(sent[-1]["body"])

    return lambda number: runner.run(requests(number))


def wsgi_turns(application: Any, **differs: str) -> Turn:
    """One request after the other; what differs from ENVIRON is given."""
    environ = {**ENVIRON, **differs}

    def start_response(status: str, headers: Any) -> None:
        pass

    def requests(number: int) -> bytes:
        content = b""
        for _ in range(number):
            response = application({**environ, "wsgi.input": BytesIO()}, start_response)
            content = b"".join(response)
            response.close()
        return content

    return requests


def timed(turn: Turn) -> float:
    """CPU µs per request."""
    gc.collect()
    started = process_time()
    content = turn(REQUESTS)
    took = process_time() - started
    if content.decode() != GREETING:
        raise WrongAnswer(f"hello answered {content[:200]!r}")
    return took / REQUESTS * 1e6


def measure(spec: dict[str, Any], runner: asyncio.Runner) -> dict[str, float]:
    """The cost of a request for each length of the list of middleware, by the last one's name."""
    django_application(spec)
    from django.conf import settings
    from django.test.utils import override_settings

    turns: dict[str, Turn] = {}
    for length in range(len(settings.MIDDLEWARE) + 1):
        classes = settings.MIDDLEWARE[:length]
        with override_settings(MIDDLEWARE=classes):
            application = django_application(spec)
        name = classes[-1].rpartition(".")[2] if classes else ""
        is_wsgi = spec["handler"].endswith("wsgi")
        turns[name] = wsgi_turns(application) if is_wsgi else asgi_turns(application, runner)
    found: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(TURNS):
        for name, turn in turns.items():
            found[name].append(timed(turn))
    return {name: min(times) for name, times in found.items()}


def main() -> None:
    spec = read_spec()
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        json.dump(measure(spec, runner), sys.stdout)


if __name__ == "__main__":
    main()
