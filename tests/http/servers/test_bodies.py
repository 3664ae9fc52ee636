"""Bodies with other lengths than they say, broken ones, and those beyond a limit."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from tests.http.servers.client import (
    chunked,
    connect,
    multipart,
    read_answer,
    request,
    send_head,
    send_until_answered,
)
from tests.http.servers.processes import RunningServer

FORM = "multipart/form-data; boundary=limit"
READERS = ["/upload/whole", "/upload/async-whole", "/upload/streamed"]
LARGEST_IN_MEMORY = 2_621_440  # the default of DATA_UPLOAD_MAX_MEMORY_SIZE


@pytest.mark.parametrize("path", ["/upload/parts", "/upload/async-parts"])
def test_form_with_files_in_http_chunks(server: RunningServer, path: str) -> None:
    body = multipart({"text": b"abc", "file": bytes(3 * 2**20), "last": b"z"})
    with closing(connect(server.port)) as connection:
        send_head(connection, "POST", path, Content_Type=FORM, Transfer_Encoding="chunked")
        send_until_answered(connection, chunked([body[:100], body[100:70_000], body[70_000:]]))
        answer = read_answer(connection)
    assert json.loads(answer.body) == {"text": "abc", "file": 3 * 2**20, "last": "z"}


@pytest.mark.parametrize("path", READERS)
def test_body_that_trickles_is_answered_408(strict_server: RunningServer, path: str) -> None:
    strict_server.kind.needs("start before the body")
    with closing(connect(strict_server.port)) as connection:
        send_head(connection, "POST", path, Content_Length="1000")
        connection.sendall(b"a few bytes")
        assert read_answer(connection).status == 408


@pytest.mark.parametrize("path", [*READERS, "/upload/parts"])
def test_chunked_body_beyond_the_limit_is_answered_413(
    strict_server: RunningServer, path: str
) -> None:
    with closing(connect(strict_server.port)) as connection:
        send_head(connection, "POST", path, Content_Type=FORM, Transfer_Encoding="chunked")
        body = multipart({"file": bytes(2**21)})
        send_until_answered(connection, chunked([body[: 2**20], body[2**20 :]]))
        assert read_answer(connection).status == 413


@pytest.mark.parametrize("path", [*READERS, "/upload/parts"])
def test_announced_body_beyond_the_limit_is_answered_413(
    strict_server: RunningServer, path: str
) -> None:
    body = multipart({"file": bytes(2**20)})
    with closing(connect(strict_server.port)) as connection:
        length = str(len(body))
        send_head(connection, "POST", path, Content_Type=FORM, Content_Length=length)
        send_until_answered(connection, [body])
        assert read_answer(connection).status == 413


@pytest.mark.parametrize("path", ["/upload/whole", "/upload/async-whole"])
def test_chunked_body_beyond_djangos_limit_is_refused(server: RunningServer, path: str) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "POST", path, Transfer_Encoding="chunked")
        send_until_answered(connection, chunked([bytes(LARGEST_IN_MEMORY), b"+"]))
        assert read_answer(connection).status in (400, 413)  # Django before 6.1 says 400


@pytest.mark.parametrize("path", ["/upload/parts", "/upload/async-parts"])
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=\xe4", b"--x--"),
        (FORM, b"no boundary anywhere in here"),
        (FORM, b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nnever ends'),
        (FORM, multipart({"a": b"1"}).replace(b"form-data", b"f\xffrm-d\x00ta")),
    ],
    ids=["no-boundary-named", "boundary-not-ascii", "no-boundary", "no-end", "broken-head"],
)
def test_broken_form_is_answered(
    server: RunningServer, path: str, content_type: str, body: bytes
) -> None:
    answer = request(server.port, "POST", path, body, Content_Type=content_type)
    assert answer.status in (200, 400)  # Django's parser is lenient with some of them
    assert server.answers()


@pytest.mark.parametrize("path", READERS)
def test_what_follows_a_body_is_not_part_of_it(server: RunningServer, path: str) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "POST", path, Content_Length="10")
        connection.sendall(b"0123456789" + b"GET /plain HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert read_answer(connection).body == b"10"


@pytest.mark.parametrize("path", READERS)
def test_small_content_length_beside_chunks_is_not_trusted(
    server: RunningServer, path: str
) -> None:
    with closing(connect(server.port)) as connection:
        send_head(connection, "POST", path, Content_Length="10", Transfer_Encoding="chunked")
        send_until_answered(connection, chunked([bytes(LARGEST_IN_MEMORY), b"+"]))
        answer = read_answer(connection)
    # RFC 9112, section 6.1: a server may refuse it, or take the chunks for the body.
    streamed = (200, str(LARGEST_IN_MEMORY + 1).encode())
    assert answer.status in (400, 413) or (answer.status, answer.body) == streamed
