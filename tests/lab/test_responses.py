"""The parser tells where a response ends, however its bytes come in."""

from __future__ import annotations

import pytest

from django_loom.lab.exceptions import ResponseError
from django_loom.lab.load.responses import MAX_HEAD, MAX_LINE, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

WHOLE = {
    "empty": OK + b"Content-Length: 0\r\n\r\n",
    "length": OK + b"content-length:  5 \r\nX: y\r\n\r\nhello",
    "same length twice": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 90\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "chunks": CHUNKED + b"5\r\nhello\r\n1;name=value\r\n!\r\n0\r\n\r\n",
    "chunks that look like ends": CHUNKED + b"7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"A\r\n0123456789\r\n000\r\nSum: 1\r\nOther: 2\r\n\r\n",
    "chunked over length": OK
    + b"Content-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    + OK
    + b"Content-Length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("response", WHOLE.values(), ids=WHOLE.keys())
def test_a_response_is_whole_with_its_last_byte(response: bytes) -> None:
    parser = ResponseParser()
    assert parser.feed(response)
    assert parser.status in {200, 204, 304}
    assert parser.size == len(response)
    assert parser.keep_alive


@pytest.mark.parametrize("response", WHOLE.values(), ids=WHOLE.keys())
def test_bytes_may_come_one_by_one(response: bytes) -> None:
    parser = ResponseParser()
    assert [parser.feed(response[i : i + 1]) for i in range(len(response))] == [
        *[False] * (len(response) - 1),
        True,
    ]


@pytest.mark.parametrize("response", WHOLE.values(), ids=WHOLE.keys())
def test_bytes_may_be_split_anywhere(response: bytes) -> None:
    for split in range(1, len(response)):
        parser = ResponseParser()
        assert not parser.feed(response[:split])
        assert parser.feed(response[split:])


@pytest.mark.parametrize("response", WHOLE.values(), ids=WHOLE.keys())
def test_a_byte_too_many_is_found(response: bytes) -> None:
    with pytest.raises(ResponseError, match="1 bytes came after the end"):
        ResponseParser().feed(response + b"!")


def test_a_parser_reads_one_response_after_another() -> None:
    parser = ResponseParser()
    for response in WHOLE.values():
        parser.reset()
        assert parser.feed(response)


def test_many_small_chunks_are_read_at_once() -> None:
    assert ResponseParser().feed(CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n")


def test_a_response_without_length_ends_with_its_connection() -> None:
    parser = ResponseParser()
    assert not parser.feed(OK + b"\r\nsome")
    assert not parser.feed(b" more")
    assert parser.close()
    assert not parser.keep_alive


@pytest.mark.parametrize(
    "part", [b"", b"HTTP/1.1 2", OK + b"Content-Length: 3\r\n\r\nno", CHUNKED + b"2\r\nok\r\n"]
)
def test_a_response_that_is_cut_does_not_end_with_its_connection(part: bytes) -> None:
    parser = ResponseParser()
    assert not parser.feed(part)
    assert not parser.close()


def test_the_answer_to_head_has_no_body() -> None:
    assert ResponseParser(head_only=True).feed(OK + b"Content-Length: 5\r\n\r\n")


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
    parser = ResponseParser()
    assert parser.feed(head + b"Content-Length: 0\r\n\r\n")
    assert parser.keep_alive is keeps


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "head of an HTTP response"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "head of an HTTP response"),
        (b"HTTP/1.1 099 No\r\n\r\n", "head of an HTTP response"),
        (b"x" * (MAX_HEAD + 1), f"within {MAX_HEAD} bytes"),
        (OK + b"Content-Length: five\r\n\r\n", "number in Content-Length"),
        (OK + b"Content-Length: -5\r\n\r\n", "number in Content-Length"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", "two different"),
        (CHUNKED + b"-5\r\n", "size of a chunk"),
        (CHUNKED + b"0x5\r\n", "size of a chunk"),
        (CHUNKED + b"\r\n", "size of a chunk"),
        (CHUNKED + b"2\r\nokay\r\n", "longer than its size"),
        (CHUNKED + b"1" * (MAX_LINE + 1), f"within {MAX_LINE} bytes"),
        (CHUNKED + b"0\r\n" + b"x" * (MAX_HEAD + 1), f"within {MAX_HEAD} bytes"),
    ],
)
def test_what_is_no_response_is_refused(response: bytes, message: str) -> None:
    with pytest.raises(ResponseError, match=message):
        ResponseParser().feed(response)
