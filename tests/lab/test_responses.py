"""Where a response ends, however its bytes come in."""

from __future__ import annotations

import pytest

from django_loom.lab.exceptions import ResponseError
from django_loom.lab.load.responses import MAX_HEAD, Response

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

WHOLE = {
    "empty": OK + b"Content-Length: 0\r\n\r\n",
    "length": OK + b"content-length:  5 \r\nX: y\r\n\r\nhello",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 90\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "chunks": CHUNKED + b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\n\r\n",
    "chunks that look like ends": CHUNKED + b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"A\r\n0123456789\r\n000\r\nSum: 1\r\nOther: 2\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    + OK
    + b"Content-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_a_response_is_whole_with_its_last_byte(data: bytes) -> None:
    response = Response()
    assert response.feed(data)
    assert response.status in {200, 204, 304}
    assert response.size == len(data)
    assert response.keep_alive


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_bytes_may_come_one_by_one(data: bytes) -> None:
    response = Response()
    assert [response.feed(data[i : i + 1]) for i in range(len(data))] == [
        *[False] * (len(data) - 1),
        True,
    ]


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_bytes_may_be_split_anywhere(data: bytes) -> None:
    for split in range(1, len(data)):
        response = Response()
        assert not response.feed(data[:split])
        assert response.feed(data[split:])


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_a_byte_too_many_is_found(data: bytes) -> None:
    with pytest.raises(ResponseError, match=r"one HTTP/1\.1 response"):
        Response().feed(data + b"!")


def test_one_response_is_read_after_another() -> None:
    response = Response()
    for data in WHOLE.values():
        response.reset()
        assert response.feed(data)


def test_many_small_chunks_are_read_at_once() -> None:
    assert Response().feed(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")


def test_a_response_without_length_ends_with_its_connection() -> None:
    response = Response()
    assert not response.feed(OK + b"\r\nsome")
    assert not response.feed(b" more")
    assert response.close()
    assert not response.keep_alive


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 2", OK + b"Content-Length: 3\r\n\r\nno", CHUNKED + b"2\r\nok\r\n"]
)
def test_a_response_that_is_cut_does_not_end_with_its_connection(part: bytes) -> None:
    response = Response()
    assert not response.feed(part)
    assert not response.close()


def test_the_answer_to_head_has_no_body() -> None:
    assert Response(head_only=True).feed(OK + b"Content-Length: 5\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_whether_the_connection_can_be_kept(head: bytes, keeps: bool) -> None:
    response = Response()
    assert response.feed(head + b"Content-Length: 0\r\n\r\n")
    assert response.keep_alive is keeps


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "Expected HTTP/"),
        (b"HTTP/3.0 200 OK\r\n\r\n", "Invalid HTTP version"),
        (b"HTTP/1.1 20 No\r\n\r\n", "Invalid status code"),
        (OK + b"X: " + b"x" * MAX_HEAD, f"within {MAX_HEAD} bytes"),
        (OK + b"Content-Length: five\r\n\r\n", "Content-Length"),
        (OK + b"Content-Length: -5\r\n\r\n", "Content-Length"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "Content-Length"),
        (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "Content-Length"),
        (CHUNKED + b"-5\r\n", "chunk size"),
        (CHUNKED + b"0x5\r\n", "chunk size"),
        (CHUNKED + b"\r\n", "chunk size"),
        (CHUNKED + b"2\r\nokay\r\n", "after chunk data"),
    ],
)
def test_what_is_no_response_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ResponseError, match=message):
        Response().feed(data)


@pytest.mark.parametrize("more", [b"!", b"H", OK, OK + b"Content-Length: 0\r\n\r\n"])
def test_the_begin_of_another_response_is_found(more: bytes) -> None:
    with pytest.raises(ResponseError, match=r"one HTTP/1\.1 response"):
        Response().feed(OK + b"Content-Length: 2\r\n\r\nok" + more)


def test_the_bytes_of_the_body_are_counted_without_their_framing() -> None:
    response = Response()
    assert response.feed(WHOLE["trailer"])
    assert response.body_size == 10


def test_a_header_is_found_by_its_lower_case_name() -> None:
    response = Response()
    assert response.feed(OK + b"SERVER:  it \r\nContent-Length: 0\r\n\r\n")
    assert (response.header(b"server"), response.header(b"x-server")) == ("it", "")


def test_the_head_of_an_interim_response_is_not_that_of_the_final_one() -> None:
    response = Response()
    early = b"HTTP/1.1 103 Early Hints\r\nServer: other\r\nContent-Length: 5\r\n\r\n"
    assert not response.feed(early + OK + b"\r\nsome")
    assert response.header(b"server") == ""
    assert response.close()


def test_a_length_that_is_not_there_any_more_is_not_remembered() -> None:
    response = Response()
    assert response.feed(OK + b"Content-Length: 0\r\n\r\n")
    response.reset()
    assert not response.feed(OK + b"\r\nsome")
    assert response.close()
