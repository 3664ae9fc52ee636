"""An upload that is refused before it has arrived."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.http.servers.client import connect, read_answer, send_head, send_until_answered
from tests.http.servers.processes import RunningServer
from tests.polling import eventually

ANNOUNCED = 2**30
PART = bytes(2**16)
MOST_SENT = 2**24  # all that a client gives; the kernel's buffers on both sides hold part of it

FORM = "multipart/form-data; boundary=limit"
HEAD = b'--limit\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'
REFUSED = ["/refused/middleware", "/refused/sync", "/refused/streaming"]


@pytest.mark.parametrize("path", REFUSED)
def test_client_gets_its_answer_and_the_site_no_more_than_one_message(
    server: RunningServer, record: str, path: str
) -> None:
    server.kind.needs("start before the body")
    files = server.statistics()["temporary_files"]
    with closing(connect(server.port)) as connection:
        send_head(
            connection,
            "POST",
            f"{path}?record={record}",
            Content_Type=FORM,
            Content_Length=str(ANNOUNCED),
        )
        parts = [HEAD, *[PART] * (MOST_SENT // len(PART))]
        send_until_answered(connection, parts)
        answer = read_answer(connection)
    assert (answer.status, answer.body) == (403, b"refused")
    if "end a refused upload" not in server.kind.cannot:
        eventually(lambda: server.notes(record) == ["answered"])
    seen = server.record(record)
    assert seen["messages"] <= 1
    assert seen["bytes"] < 2**20
    assert server.statistics()["temporary_files"] == files


def test_client_that_has_sent_nothing_yet_gets_its_answer(
    server: RunningServer, record: str
) -> None:
    server.kind.needs("start before the body")
    with closing(connect(server.port)) as connection:
        path = f"/refused/sync?record={record}"
        send_head(connection, "POST", path, Content_Length=str(ANNOUNCED))
        assert read_answer(connection).status == 403
    assert server.record(record)["bytes"] == 0


def test_client_that_waits_for_100_continue_is_not_told_to_go_on(
    server: RunningServer, record: str
) -> None:
    server.kind.needs("start before the body")
    server.kind.needs("hold back 100")
    with closing(connect(server.port)) as connection:
        path = f"/refused/sync?record={record}"
        announced = str(ANNOUNCED)
        send_head(connection, "POST", path, Content_Length=announced, Expect="100-continue")
        first_line = connection.makefile("rb").readline()
    assert first_line.startswith(b"HTTP/1.1 403 ")
    assert server.record(record)["bytes"] == 0
