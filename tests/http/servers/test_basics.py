"""What every site does, on each server."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest

from tests.http.servers.client import SECONDS, ask, get, request
from tests.http.servers.processes import RunningServer

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("path", ["/plain", "/plain-in-thread"])
def test_get(server: RunningServer, path: str) -> None:
    answer = get(server.port, path)
    assert (answer.status, answer.body) == (200, b"plain")
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_post_of_a_form(server: RunningServer) -> None:
    fields = {"name": "Jörg", "x": "a&b"}
    answer = request(server.port, "POST", "/form", urlencode(fields).encode(), Content_Type=FORM)
    assert json.loads(answer.body) == fields


def test_json_both_ways(server: RunningServer) -> None:
    content = {"numbers": [1, 2.5, None], "text": "ä" * 100_000}
    answer = request(server.port, "POST", "/json", json.dumps(content).encode())
    assert json.loads(answer.body) == content


def test_cookies_both_ways(server: RunningServer) -> None:
    answer = request(server.port, "GET", "/cookies", Cookie="a=1; b=2")
    assert json.loads(answer.body) == {"a": "1", "b": "2"}
    assert answer.headers.get_all("Set-Cookie") == [
        "one=1; Path=/",
        "two=2; HttpOnly; Path=/",
    ]


def test_head_has_no_body(server: RunningServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    try:
        answer = ask(connection, "HEAD", "/plain")
        assert (answer.status, answer.headers["Content-Length"], answer.body) == (200, "5", b"")
        assert ask(connection, "GET", "/plain").body == b"plain"
    finally:
        connection.close()


def test_not_found(server: RunningServer) -> None:
    assert get(server.port, "/nothing/here").status == 404


def test_an_error_of_a_view_is_a_500_and_logged(server: RunningServer) -> None:
    before = len(server.output())
    assert get(server.port, "/broken").status == 500
    assert "ERROR django.request: Internal Server Error: /broken" in server.output()[before:]
    assert "the view is broken" in server.output()[before:]


def test_redirect(server: RunningServer) -> None:
    answer = get(server.port, "/redirect")
    assert (answer.status, answer.headers["Location"]) == (302, "/plain")


def test_orm_query(server: RunningServer) -> None:
    assert json.loads(get(server.port, "/notes").body) == {"notes": 0}


def test_one_connection_serves_many_requests(server: RunningServer) -> None:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    try:
        connection.connect()
        first = connection.sock
        for _ in range(20):
            assert ask(connection, "GET", "/plain").body == b"plain"
            assert ask(connection, "POST", "/form", b"a=1", Content_Type=FORM).status == 200
            assert connection.sock is first
    finally:
        connection.close()
