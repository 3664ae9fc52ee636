"""A client that closes its connection while its request is under way."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.http.servers.client import connect, send_head, start_answer
from tests.http.servers.processes import RunningServer
from tests.polling import eventually

pytestmark = pytest.mark.usefixtures("quiet")

Queries = Callable[[RunningServer], list[str]]


def test_async_view_is_cancelled(server: RunningServer, record: str) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"/wait/sleep?record={record}")
        eventually(lambda: server.notes(record) == ["started"])
    _assert_ended(server, record, "CancelledError")


@pytest.mark.parametrize("path", ["/wait/query", "/wait/query-on-loop"])
def test_query_is_cancelled_in_the_database(
    server: RunningServer, record: str, queries: Queries, path: str
) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"{path}?record={record}")
        eventually(lambda: queries(server) == ["select pg_sleep(30)"])
    _assert_ended(server, record, "CancelledError")
    eventually(lambda: not queries(server))


def test_async_iterator_is_cancelled(server: RunningServer, record: str) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"/wait/async-parts?record={record}")
        assert start_answer(connection).readline() == b"first 0\n"
    _assert_ended(server, record, "CancelledError")


def test_sync_iterator_in_a_thread_is_closed(server: RunningServer, record: str) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"/wait/endless?record={record}")
        assert start_answer(connection).readline() == b"again\n"
    _assert_ended(server, record, "GeneratorExit")


def test_query_of_a_sync_iterator_on_the_loop_is_cancelled(
    server: RunningServer, record: str, queries: Queries
) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"/wait/querying-parts?record={record}")
        assert start_answer(connection).readline() == b"first\n"
        eventually(lambda: queries(server) == ["select pg_sleep(30)"])
    _assert_ended(server, record, "CancelledError")
    eventually(lambda: not queries(server))


@pytest.mark.parametrize(
    ("path", "end"), [("upload", "CancelledError"), ("upload-in-groups", "ExceptionGroup")]
)
def test_view_that_takes_an_upload_is_cancelled(
    server: RunningServer, record: str, path: str, end: str
) -> None:
    server.kind.needs("start before the body")
    with closing(connect(server.port)) as connection:
        path = f"/wait/{path}?record={record}"
        send_head(connection, "POST", path, Content_Length=str(2**30))
        connection.sendall(bytes(2**20))
        eventually(lambda: server.record(record)["bytes"] == 2**20)
    _assert_ended(server, record, end)


@pytest.mark.parametrize("path", ["/upload/parts", "/upload/async-parts", "/upload/whole"])
def test_half_an_upload_leaves_nothing_behind(
    server: RunningServer, record: str, path: str
) -> None:
    server.kind.needs("start before the body")
    with closing(connect(server.port)) as connection:
        form = "multipart/form-data; boundary=limit"
        path = f"{path}?record={record}"
        send_head(connection, "POST", path, Content_Type=form, Content_Length=str(2**21))
        connection.sendall(b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc')
        eventually(lambda: server.record(record)["bytes"])
    eventually(lambda: "answered" in server.notes(record))
    eventually(lambda: server.statistics()["used"] == {"default": 0, "single": 0})


@pytest.mark.parametrize("path", ["/upload/parts", "/upload/async-parts", "/upload/whole"])
def test_upload_that_ends_too_early_leaves_nothing_behind(
    server: RunningServer, record: str, path: str
) -> None:
    server.kind.needs("start before the body")
    with closing(connect(server.port)) as connection:
        form = "multipart/form-data; boundary=limit"
        path = f"{path}?record={record}"
        send_head(connection, "POST", path, Content_Type=form, Content_Length="1000000")
        connection.sendall(b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nabc')
        connection.shutdown(socket.SHUT_WR)  # and it waits for an answer
        eventually(lambda: "answered" in server.notes(record))
    eventually(lambda: server.statistics()["used"] == {"default": 0, "single": 0})


def test_download_that_nobody_wants_any_more_ends(server: RunningServer, record: str) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"/download?record={record}")
        assert start_answer(connection).status == 200
    eventually(lambda: "answered" in server.notes(record))


def _assert_ended(server: RunningServer, record: str, how: str) -> None:
    eventually(lambda: server.notes(record) == ["started", how, "finally", "answered"])
    eventually(lambda: server.statistics()["used"] == {"default": 0, "single": 0})
