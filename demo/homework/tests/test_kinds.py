"""The content says of what kind a file is."""

from __future__ import annotations

import io
from unittest import TestCase

import pytest

from demo.homework.archives import MOST_LISTED_BYTES, archive_kind
from demo.homework.kinds import ContentCheck, Kind
from demo.homework.refusals import Refused

from . import samples

TAKEN = [
    (samples.PDF, Kind.PDF),
    (samples.PNG, Kind.PNG),
    (samples.JPEG, Kind.JPEG),
    (samples.GIF, Kind.GIF),
    (samples.WEBP, Kind.WEBP),
    (samples.ZIP, Kind.ZIP),
    (samples.TEXT, Kind.TEXT),
    (samples.PYTHON, Kind.TEXT),
    (b"\xef\xbb\xbfwith a mark of the byte order", Kind.TEXT),
    (b"<svg><script>alert(1)</script></svg>", Kind.TEXT),
    (b"short", Kind.TEXT),
]
NOT_TAKEN = [
    samples.PROGRAM,
    b"\x7fELF" + bytes(60),
    "UTF-16 has other bytes".encode("utf-16"),
    "Latin-1: Grüße, Grüße".encode("latin-1"),
    b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00",
    b"a text with a \x1b[31mcolour",
    b"a text that ends within a letter \xc3",
    b"\xc3",
    bytes(8),
]


def kind_of(content: bytes, piece: int) -> Kind | None:
    """Give the content in pieces; what comes out must be the same."""
    check = ContentCheck()
    pieces = [content[at : at + piece] for at in range(0, len(content), piece)]
    passed = b"".join(map(check.admit, pieces)) + check.finish()
    assert passed == content
    return check.kind


class ContentCheckTests(TestCase):
    def test_kinds_that_are_taken_in_pieces_of_any_size(self) -> None:
        for content, kind in TAKEN:
            for piece in (1, 7, 16, 1000):
                with self.subTest(content=content, piece=piece):
                    assert kind_of(content, piece) == kind

    def test_all_else_is_refused(self) -> None:
        for content in NOT_TAKEN:
            for piece in (1, 7, 16, 1000):
                with self.subTest(content=content, piece=piece):
                    with pytest.raises(Refused) as caught:
                        kind_of(content, piece)
                    assert caught.value.status == 415

    def test_wrong_kind_is_refused_with_its_first_sixteen_bytes(self) -> None:
        check = ContentCheck()
        assert check.admit(samples.PROGRAM[:15]) == b""
        with pytest.raises(Refused):
            check.admit(samples.PROGRAM[15:16])

    def test_text_is_looked_at_to_its_end(self) -> None:
        check = ContentCheck()
        check.admit(b"a text, it seems to be" * 100)
        with pytest.raises(Refused):
            check.admit(b"\x00")


class ArchiveKindTests(TestCase):
    def test_office_documents_are_known_by_their_entries(self) -> None:
        documents = {
            samples.DOCX: Kind.DOCX,
            samples.XLSX: Kind.XLSX,
            samples.PPTX: Kind.PPTX,
            samples.ZIP: Kind.ZIP,
            samples.archive("[Content_Types].xml"): Kind.ZIP,
            samples.archive(): Kind.ZIP,
        }
        for content, kind in documents.items():
            with self.subTest(kind=kind):
                assert archive_kind(io.BytesIO(content)) == kind

    def test_comment_after_the_end_record_does_not_hide_it(self) -> None:
        commented = samples.DOCX[:-2] + b"\xe8\x03" + b"x" * 1000
        assert archive_kind(io.BytesIO(commented)) == Kind.DOCX

    def test_archive_that_was_cut_off_is_refused(self) -> None:
        for content in (samples.DOCX[:-30], samples.DOCX[:-10], b"PK\x03\x04"):
            with self.subTest(length=len(content)), pytest.raises(Refused):
                archive_kind(io.BytesIO(content))

    def test_long_list_of_entries_is_not_read(self) -> None:
        length = (MOST_LISTED_BYTES + 1).to_bytes(4, "little")
        end = b"PK\x05\x06" + bytes(8) + length + bytes(6)
        file = io.BytesIO(b"PK\x03\x04" + end)
        assert archive_kind(file) == Kind.ZIP

    def test_positions_outside_the_file_do_no_harm(self) -> None:
        end = b"PK\x05\x06" + bytes(8) + b"\xff\xff\x00\x00" + b"\xff\xff\xff\xff" + bytes(2)
        assert archive_kind(io.BytesIO(b"PK\x03\x04" + end)) == Kind.ZIP
