"""Thousands of clients that wait: what a server keeps in memory for each of them."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from typing import Any

from benchmarks.harness import cores, pin
from benchmarks.http.answers import SLEEP
from benchmarks.http.servers import Server
from benchmarks.http.tables import WrongAnswer

LOOK_EVERY = 0.2  # seconds
SPARE_FILES = 100
AT_ONCE = 32  # requests under way while the connections open


def allow_files(number: int) -> None:
    """Let this process and its children open so many files, where they may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = number + SPARE_FILES
    if most == resource.RLIM_INFINITY or most >= needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, most))


@contextmanager
def clients(server: Server, number: int) -> Iterator[list[socket.socket]]:
    """So many connections, each of which has asked once and is idle."""
    with ExitStack() as stack:
        opened = [stack.enter_context(_connected(server)) for _ in range(number)]
        for first in range(0, number, AT_ONCE):
            some = opened[first : first + AT_ONCE]
            for client in some:
                _send(client, "hello")
            for client in some:
                response = HTTPResponse(client)
                response.begin()
                response.read()
        yield opened


def _connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def _send(client: socket.socket, path: str) -> None:
    client.sendall(f"GET /{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())


def _waiting(server: Server) -> int:
    status, body = server.get("waiting")
    if status != 200:
        raise WrongAnswer(f"waiting answered {status} {body[:200]!r}")
    return int(json.loads(body)["waiting"])


def memory(server: Server, number: int) -> dict[str, Any]:
    """Bytes: before anybody came, with all of them idle, with as many waiting as ever were."""
    chosen = cores()
    if chosen:
        pin(chosen[1])
    for _ in range(100):
        server.get("hello")
    before = server.resident()
    with clients(server, number) as opened:
        idle = server.resident()
        for client in opened:
            _send(client, "sleep")
        count, waiting = _most(server, number)
    return {"before": before, "idle": idle, "waiting": waiting, "clients": number, "count": count}


def _most(server: Server, number: int) -> tuple[int, int]:
    """The highest number that waited at the same time, and the memory then."""
    most, resident, ends = 0, 0, time.monotonic() + SLEEP * 6
    while most < number and time.monotonic() < ends:
        count = _waiting(server)
        if count < most:  # the first are done sleeping
            break
        most, resident = count, server.resident()
        time.sleep(LOOK_EVERY)
    return most, resident
