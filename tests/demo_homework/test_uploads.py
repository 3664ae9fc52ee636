"""Uploads that go well, and what they cost the server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.http.servers.client import chunked, read_answer
from tests.polling import eventually

from .site import Site
from .student import END, MIB, Student, message_of, start_of_form

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 4
LARGE = 50 * MIB
PIECE = 2**16
LOOK_SECONDS = 0.01


def pieces(length: int) -> list[bytes]:
    """A PDF, to its first bytes, of a length that is a multiple of 64 KiB."""
    return [PDF.ljust(PIECE, b"\n"), *[bytes(PIECE)] * (length // PIECE - 1)]


def test_file_comes_back_as_it_was_with_ranges_and_its_name(ann: Student) -> None:
    name = "Сочинение Анны.pdf"
    assert ann.hand_in(PDF, name).status == 201
    (path,) = ann.site.stored()
    assert path.read_bytes() == PDF
    whole = ann.get(f"/homework/{path.name}/")
    assert (whole.status, whole.body) == (200, PDF)
    assert whole.headers["Content-Disposition"] == f"attachment; filename*=utf-8''{quote(name)}"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = ann.get(f"/homework/{path.name}/", Range="bytes=5-9", If_Range=whole.headers["ETag"])
    assert (part.status, part.body) == (206, PDF[5:10])
    assert part.headers["Content-Range"] == f"bytes 5-9/{len(PDF)}"
    beyond = ann.get(f"/homework/{path.name}/", Range=f"bytes={len(PDF)}-")
    assert beyond.status == 416


def test_upload_without_content_length(ann: Student) -> None:
    body = [start_of_form("essay.pdf"), *pieces(MIB), END]
    with ann.handing_in(Transfer_Encoding="chunked") as connection:
        for chunk in chunked(body):
            connection.sendall(chunk)
        assert read_answer(connection).status == 201
    assert [path.stat().st_size for path in ann.site.stored()] == [MIB]


def test_upload_that_trickles_is_on_the_disk_before_it_ends(ann: Student) -> None:
    start, content = start_of_form("essay.pdf"), b"".join(pieces(MIB))
    length = len(start) + len(content) + len(END)
    with ann.handing_in(Content_Length=str(length)) as connection:
        connection.sendall(start + content[: MIB // 2])
        # The parser reads 64 KiB at a time, and keeps back what may be the end of the file.
        eventually(lambda: [part.stat().st_size >= MIB // 4 for part in ann.site.parts()] == [True])
        assert open_files(ann.site) == ann.site.parts()
        for at in range(MIB // 2, MIB, 10_000):
            connection.sendall(content[at : min(at + 10_000, MIB)])
        for byte in END:
            connection.sendall(bytes([byte]))
        assert read_answer(connection).status == 201
    assert [path.read_bytes() for path in ann.site.stored()] == [content]


def open_files(site: Site) -> list[Path]:
    """The files that a server keeps open, those too that have no name, but for its database.

    Its standard output is a file, too.
    """
    folder = Path(f"/proc/{site.process.pid}/fd")
    if not folder.exists():
        pytest.skip("only Linux tells which files a process has open")
    targets = []
    for link in (each for each in folder.iterdir() if int(each.name) > 2):
        with suppress(FileNotFoundError):  # closed meanwhile, as a socket of the test before
            targets.append(link.readlink())
    ours = [path for path in targets if path.is_absolute() and path.parts[1] not in ("dev", "proc")]
    return [path for path in ours if not path.name.startswith("academy.sqlite3")]


def test_fifty_mebibytes_do_not_pass_through_memory(ann: Student) -> None:
    assert ann.hand_in(PDF, "first.pdf").status == 201  # what is loaded with the first upload
    first = most = ann.site.resident()
    over = threading.Event()

    def look() -> int:
        highest = first
        while not over.wait(LOOK_SECONDS):
            highest = max(highest, ann.site.resident())
        return highest

    with ThreadPoolExecutor(1) as looking:
        watched = looking.submit(look)
        try:
            answer = ann.hand_in_parts(pieces(LARGE), LARGE, "large.pdf")
        finally:
            over.set()
        most = watched.result()
    assert answer.status == 201
    assert sorted(path.stat().st_size for path in ann.site.stored()) == [len(PDF), LARGE]
    assert most - first < 20 * MIB


def test_several_uploads_of_one_student_at_once(ann: Student) -> None:
    names = [f"essay-{number}.pdf" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as clients:
        answers = list(clients.map(lambda name: ann.hand_in(PDF, name), names))
    assert [each.status for each in answers] == [201] * len(names)
    assert len(ann.site.stored()) == len(names)


def test_of_two_at_once_with_one_name_one_is_taken(ann: Student) -> None:
    start, content = start_of_form("essay.pdf"), b"".join(pieces(4 * PIECE))
    length = str(len(start) + len(content) + len(END))
    with (
        ann.handing_in(Content_Length=length) as first,
        ann.handing_in(Content_Length=length) as second,
    ):
        for connection in (first, second):
            connection.sendall(start + content)
        eventually(lambda: len(ann.site.parts()) == 2)  # the name was free for both
        for connection in (first, second):
            connection.sendall(END)
        answers = [read_answer(connection) for connection in (first, second)]
    assert sorted(each.status for each in answers) == [201, 409]
    assert (len(ann.site.stored()), ann.site.parts()) == (1, [])
    assert "essay.pdf already" in message_of(max(answers, key=lambda each: each.status))


def test_quota_holds_for_uploads_at_once(ann: Student) -> None:
    names = [f"essay-{number}.txt" for number in range(25)]
    with ThreadPoolExecutor(5) as clients:
        answers = list(clients.map(lambda name: ann.hand_in(b"short", name), names))
    assert sorted(each.status for each in answers) == [201] * 20 + [409] * 5
    assert len(ann.site.stored()) == 20


def test_deleted_file_leaves_the_disk(ann: Student) -> None:
    assert ann.hand_in(PDF, "essay.pdf").status == 201
    (path,) = ann.site.stored()
    assert Student(ann.site, "bob").delete(path.name).status == 404
    assert path.exists()
    assert ann.delete(path.name).status == 302
    assert not path.exists()
    assert ann.get(f"/homework/{path.name}/").status == 404
