"""The server's memory under large bodies, either way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest

from tests.http.servers.client import connect, send_head, start_answer
from tests.http.servers.loads import MIB, SPARSE_BYTES, download, upload
from tests.http.servers.processes import RunningServer

PAUSE = 0.02  # seconds between two looks at the memory


class Watched:
    """How much more memory than at first a server had at any look."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.first = self.most = server.resident()

    @property
    def growth(self) -> int:
        return self.most - self.first

    def look(self) -> None:
        self.most = max(self.most, self.server.resident())


@contextmanager
def watched_memory(server: RunningServer) -> Iterator[Watched]:
    watched = Watched(server)
    over = threading.Event()

    def look() -> None:
        while not over.wait(PAUSE):
            watched.look()

    with ThreadPoolExecutor(1) as looking:
        seen = looking.submit(look)
        try:
            yield watched
        finally:
            over.set()
            seen.result()


@pytest.mark.parametrize("path", ["/upload/slow-in-thread", "/upload/slow-on-loop"])
def test_slow_upload_handler_slows_the_client_and_keeps_memory_flat(
    server: RunningServer, record: str, path: str
) -> None:
    server.kind.needs("start before the body")
    with watched_memory(server) as memory:
        answer, ahead = upload(server, path, record)
    assert (answer.status, answer.body) == (200, b"yes")
    assert ahead < 24 * MIB  # mostly in the kernel's buffers
    assert memory.growth < 20 * MIB


@pytest.mark.parametrize("first", [0, 1], ids=["whole", "range"])  # no range goes by pathsend
def test_two_large_downloads_at_once_keep_memory_flat(server: RunningServer, first: int) -> None:
    server.kind.needs("slow a response down")
    with watched_memory(server) as memory, ThreadPoolExecutor(2) as clients:
        lengths = list(clients.map(download, [server.port] * 2, [first] * 2))
    assert lengths == [SPARSE_BYTES - first] * 2
    assert memory.growth < 16 * MIB


def test_file_response_uses_the_servers_pathsend(server: RunningServer, record: str) -> None:
    server.kind.needs("send a path")
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"/download?record={record}")
        assert start_answer(connection).length == SPARSE_BYTES
        assert "path sent" in server.notes(record)
