"""Uploads that are refused, break off or fail: an answer where there can be one, and no file."""

from __future__ import annotations

import resource
import socket
import struct
from contextlib import closing

import pytest

from tests.http.servers.client import (
    Answer,
    chunked,
    connect,
    read_answer,
    send_head,
    send_until_answered,
)
from tests.polling import eventually

from .student import (
    END,
    FORM,
    HAND_IN,
    MIB,
    SESSION_COOKIE,
    TOKEN,
    Student,
    form,
    message_of,
    start_of_form,
)

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 4
PIECE = bytes(2**16)
ANNOUNCED = str(100 * MIB)
LONG_LINGER = struct.pack("ii", 1, 0)


def assert_refused(student: Student, answer: Answer, status: int, message: str) -> None:
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
    assert message in message_of(answer)
    assert (student.site.stored(), student.site.parts()) == ([], [])


def test_wrong_kind_is_refused_long_before_the_file_is_there(ann: Student) -> None:
    start = start_of_form("essay.pdf") + b"MZ\x90\x00".ljust(2**16, b"\x00")
    with ann.handing_in(Content_Length=ANNOUNCED) as connection:
        sent = send_until_answered(connection, [start, *[PIECE] * 1600])
        assert_refused(ann, read_answer(connection), 415, "This kind of file is not taken")
    assert sent < 20 * MIB  # most of that is in the buffers of the kernel


def test_wrong_kind_is_refused_while_the_client_waits(ann: Student) -> None:
    start = start_of_form("essay.pdf") + b"MZ\x90\x00".ljust(2**17, b"\x00")
    with ann.handing_in(Content_Length=ANNOUNCED) as connection:
        connection.sendall(start)
        assert_refused(ann, read_answer(connection), 415, "This kind of file is not taken")


def test_name_that_is_there_already_is_refused_before_the_content(ann: Student) -> None:
    assert ann.hand_in(PDF, "essay.pdf").status == 201
    with ann.handing_in(Content_Length=ANNOUNCED) as connection:
        connection.sendall(start_of_form("essay.pdf") + PIECE)
        answer = read_answer(connection)
    assert (answer.status, ann.site.parts()) == (409, [])
    assert len(ann.site.stored()) == 1


@pytest.mark.parametrize("linger", [None, LONG_LINGER], ids=["closes", "resets"])
def test_client_that_leaves_in_the_middle_leaves_no_file(ann: Student, linger: bytes) -> None:
    with ann.handing_in(Content_Length=ANNOUNCED) as connection:
        connection.sendall(start_of_form("essay.pdf") + PDF + PIECE * 40)
        eventually(lambda: [part.stat().st_size > MIB for part in ann.site.parts()] == [True])
        if linger:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    eventually(lambda: not ann.site.parts())
    assert ann.site.stored() == []
    assert b"Nothing yet." in ann.get("/homework/files/").body


def test_too_large_by_its_announcement_is_refused_unread(hurried_ann: Student) -> None:
    with hurried_ann.handing_in(Content_Length=str(2 * MIB)) as connection:
        answer = read_answer(connection)
    assert_refused(hurried_ann, answer, 413, "This file is too large. 1.0\xa0MB is the most")


def test_too_large_without_content_length(hurried_ann: Student) -> None:
    body = [start_of_form("essay.pdf"), PDF, *[PIECE] * 1600, END]
    with hurried_ann.handing_in(Transfer_Encoding="chunked") as connection:
        sent = send_until_answered(connection, chunked(body))
        answer = read_answer(connection)
    assert_refused(hurried_ann, answer, 413, "This file is too large")
    assert sent < 20 * MIB


def test_too_large_is_told_on_the_page_as_well(hurried_ann: Student) -> None:
    with hurried_ann.handing_in(Content_Length=str(2 * MIB), Accept="text/html") as connection:
        answer = read_answer(connection)
    assert answer.status == 413
    assert b"This file is too large" in answer.body


def test_upload_that_stops_in_the_middle_is_given_up(hurried_ann: Student) -> None:
    with hurried_ann.handing_in(Content_Length=str(MIB)) as connection:
        connection.sendall(start_of_form("essay.pdf") + PDF + PIECE * 2)
        answer = read_answer(connection)
    assert_refused(hurried_ann, answer, 408, "The upload came too slowly")


@pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="only Linux limits the files of a running process"
)
def test_storage_that_fails_in_the_middle(ann: Student) -> None:
    pid, kind = ann.site.process.pid, resource.RLIMIT_FSIZE
    limits = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (3 * MIB, limits[1]))  # write() fails beyond it
    try:
        with ann.handing_in(Content_Length=ANNOUNCED) as connection:
            start = start_of_form("essay.pdf") + PDF
            send_until_answered(connection, [start, *[PIECE] * 1600])
            answer = read_answer(connection)
        assert_refused(ann, answer, 507, "could not store the file")
    finally:
        resource.prlimit(pid, kind, limits)
    assert ann.hand_in(PDF, "essay.pdf").status == 201


def test_broken_form(ann: Student) -> None:
    for body in (form(PDF, "essay.pdf")[:-20], b"no form at all", b""):
        with ann.handing_in(Content_Length=str(len(body))) as connection:
            connection.sendall(body)
            answer = read_answer(connection)
        assert_refused(ann, answer, 400, "")


class TestCsrf:
    def post(self, student: Student, body: bytes, length: int, **headers: str) -> Answer:
        head = {"Cookie": student.cookies, "Accept": "application/json", "Content_Type": FORM}
        with closing(connect(student.site.port)) as connection:
            head |= {"Content_Length": str(length), **headers}
            send_head(connection, "POST", HAND_IN, **head)
            connection.sendall(body)
            return read_answer(connection)

    def test_another_site_is_refused_before_anything_is_read(self, ann: Student) -> None:
        head = {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"}
        answer = self.post(ann, b"", 100 * MIB, **head)
        assert_refused(ann, answer, 403, "This page is out of date")

    def test_the_forms_own_token_passes_without_any_header(self, ann: Student) -> None:
        field = b'--limit\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n'
        body = field + TOKEN.encode() + b"\r\n" + form(PDF, "essay.pdf")
        assert self.post(ann, body, len(body)).status == 201
        assert len(ann.site.stored()) == 1

    def test_wrong_token_in_the_form_leaves_no_file(self, ann: Student) -> None:
        field = b'--limit\r\nContent-Disposition: form-data; name="csrfmiddlewaretoken"\r\n\r\n'
        body = field + b"x" * 32 + b"\r\n" + form(PDF, "essay.pdf")
        answer = self.post(ann, body, len(body))
        assert_refused(ann, answer, 403, "This page is out of date")

    def test_browsers_word_is_enough(self, ann: Student) -> None:
        body = form(PDF, "essay.pdf")
        assert self.post(ann, body, len(body), Sec_Fetch_Site="same-origin").status == 201

    def test_no_session_is_refused_before_anything_is_read(self, ann: Student) -> None:
        answer = self.post(ann, b"", 100 * MIB, Cookie=f"{SESSION_COOKIE}=none")
        assert_refused(ann, answer, 401, "You are not logged in")
