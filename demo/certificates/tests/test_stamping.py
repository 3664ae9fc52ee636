"""The PDF: what is on it, read out of it again."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from django.test import SimpleTestCase
from pypdf import PageObject, PdfReader

from demo.certificates import fonts
from demo.certificates.artwork import TEMPLATE, draw
from demo.certificates.layout import NAME_SIZE, NAME_WIDTH, PAGE
from demo.certificates.stamping import Details, make_pdf

WHEN = datetime(2026, 11, 1, 9, 5, tzinfo=UTC)


def page_for(name: str, course: str = "Love, Money and Manners") -> PageObject:
    """Return the page of a certificate."""
    pdf = make_pdf(Details(name, course, WHEN, "0123456789abcdef"))
    return PdfReader(BytesIO(pdf), strict=True).pages[0]


class StampTests(SimpleTestCase):
    def test_names_of_three_scripts_can_be_read_and_copied(self) -> None:
        for name in ("Ann Weaver", "Nguyễn Thị Ánh", "Анна Каренина", "ДӘУРЕН ĐẶNG"):
            with self.subTest(name):
                assert name in page_for(name).extract_text()

    def test_course_time_and_number_are_on_it(self) -> None:
        text = page_for("Ann", "Đường tơ & Нить").extract_text()
        for part in ("Đường tơ & Нить", "1 November 2026, 09:05 UTC", "0123 4567 89ab cdef"):
            assert part in text
        assert "Certificate of Participation" in text

    def test_what_the_typeface_lacks_in_a_title_is_replaced(self) -> None:
        assert "Silk \ufffd" in page_for("Ann", "Silk 🎉").extract_text()

    def test_all_typefaces_are_in_the_file(self) -> None:
        faces = page_for("Nguyễn Thị Ánh")["/Resources"]["/Font"].values()
        for font in (each.get_object() for each in faces):
            assert "/FontFile2" in font["/FontDescriptor"]
            assert "/ToUnicode" in font

    def test_a_long_name_shrinks_to_its_place(self) -> None:
        assert fonts.fitting_size("Ann", fonts.ITALIC, NAME_SIZE, NAME_WIDTH) == NAME_SIZE
        for name in ("W" * 80, "Ậ" * 80):
            size = fonts.fitting_size(name, fonts.ITALIC, NAME_SIZE, NAME_WIDTH)
            width = fonts.typeface(fonts.ITALIC).stringWidth(name, size)
            assert abs(width - NAME_WIDTH) < 0.01
            assert name in page_for(name).extract_text().replace("\n", "")

    def test_the_title_of_the_file_names_the_student(self) -> None:
        pdf = make_pdf(Details("Nguyễn Thị Ánh", "Weaving", WHEN, "0" * 16))
        assert PdfReader(BytesIO(pdf)).metadata.title == "Certificate of Nguyễn Thị Ánh"

    def test_the_file_has_the_time_of_its_issue(self) -> None:
        pdf = make_pdf(Details("Ann", "Silk", WHEN, "0123456789abcdef"))
        metadata = PdfReader(BytesIO(pdf)).metadata
        assert (metadata.creation_date, metadata.modification_date) == (WHEN, WHEN)

    def test_many_at_once_do_not_mix(self) -> None:
        names = [f"Student {letter * 8}" for letter in "ABCDEFGHÄЖ"]
        with ThreadPoolExecutor(5) as threads:
            pages = list(threads.map(page_for, names))
        for name, page in zip(names, pages, strict=True):
            assert name in page.extract_text()


class TemplateTests(SimpleTestCase):
    def test_the_committed_template_is_what_the_script_draws(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "template.pdf"
            draw(drawn)
            new, committed = (PdfReader(path).pages[0] for path in (drawn, TEMPLATE))
            assert new.get_contents().get_data() == committed.get_contents().get_data()
            assert new.extract_text() == committed.extract_text()

    def test_it_has_one_page_of_the_size_that_is_stamped(self) -> None:
        reader = PdfReader(TEMPLATE)
        assert len(reader.pages) == 1
        assert [round(float(side)) for side in reader.pages[0].mediabox[2:]] == [
            round(side) for side in PAGE
        ]
