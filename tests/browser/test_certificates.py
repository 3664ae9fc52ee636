"""Certificates: made out to a name, downloaded, and read."""

from __future__ import annotations

import unicodedata

import pytest
from playwright.sync_api import Page, expect
from pypdf import PdfReader

from .browsing import Browsing

COURSE = "Love, Money and Manners"


def issue(page: Page, name: str) -> None:
    """Fill in the form and send it."""
    page.goto("/certificates/")
    page.get_by_role("link", name=f"the certificate of {COURSE}").click()
    page.get_by_label("Full name").fill(name)
    page.locator("form:has(#id_name)").get_by_role("button").click()


@pytest.mark.parametrize("name", ["Ann Weaver", "Nguyễn Thị Ánh", "Анна Каренина"])
def test_the_text_of_the_download_has_the_name(ann: Page, name: str) -> None:
    issue(ann, name)
    expect(ann.get_by_text(f"The certificate is made out to {name}.")).to_be_visible()
    expect(ann.locator("#preview-name")).to_have_text(name)
    with ann.expect_download() as download:
        ann.get_by_role("link", name="Download the PDF").click()
    assert download.value.suggested_filename == "certificate-love-money-and-manners.pdf"
    text = unicodedata.normalize("NFC", PdfReader(download.value.path()).pages[0].extract_text())
    assert name in " ".join(text.split())
    assert COURSE in text


def test_the_preview_shows_the_name_while_it_is_typed(ann: Page) -> None:
    ann.goto("/certificates/monsters-and-machines/")
    field = ann.get_by_label("Full name")
    field.clear()
    field.press_sequentially("Đặng")
    expect(ann.locator("#preview-name")).to_have_text("Đặng")


def test_a_name_that_the_typeface_lacks_is_refused(ann: Page, browsing: Browsing) -> None:
    browsing.expect_status(422)
    issue(ann, "李小龙")
    expect(ann.get_by_role("alert")).to_contain_text("The certificate's typeface can't show: 李")
    expect(ann.get_by_label("Full name")).to_have_value("李小龙")


def test_who_is_not_enrolled_is_sent_to_the_course(browsing: Browsing) -> None:
    page = browsing.open("admin")
    page.goto("/certificates/monsters-and-machines/")
    expect(page.get_by_text("when you are enrolled")).to_be_visible()
    page.get_by_role("button", name="Enrol").click()
    page.get_by_role("link", name="Your certificate").click()
    expect(page.get_by_label("Full name")).to_have_value("Ada Admin")
