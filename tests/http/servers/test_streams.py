"""Streaming responses: parts come as they are made, and hold no connection meanwhile."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing

import pytest

from tests.http.servers.client import connect, get, send_head, start_answer
from tests.http.servers.processes import RunningServer


@pytest.mark.parametrize("path", ["/wait/async-parts", "/wait/sync-parts"])
def test_a_part_arrives_before_the_next_is_made(
    server: RunningServer, record: str, path: str
) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "GET", f"{path}?record={record}")
        response = start_answer(connection)
        assert response.readline() == b"first 0\n"
        assert server.notes(record) == ["started"]
        get(server.port, f"/open/{record}")
        assert response.read() == b"second 0\n"


@pytest.mark.parametrize("path", ["/wait/async-parts", "/wait/sync-parts"])
def test_waiting_streams_hold_no_database_connection(
    server: RunningServer, record: str, path: str
) -> None:
    with ExitStack() as stack:
        responses = []
        for _ in range(5):
            connection = stack.enter_context(closing(connect(server.port)))
            send_head(connection, "GET", f"{path}?record={record}&alias=single")
            responses.append(start_answer(connection))
        for response in responses:
            assert response.readline() == b"first 0\n"
        assert json.loads(get(server.port, "/notes?alias=single").body) == {"notes": 0}
        get(server.port, f"/open/{record}")
        for response in responses:
            assert response.read() == b"second 0\n"
