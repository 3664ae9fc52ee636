"""Homework: a large file there and back, and files that are not taken."""

from __future__ import annotations

import filecmp
import re
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.polling import eventually

from .browsing import Browsing
from .uploads import MEBIBYTE, WATCH_THE_BAR, open_homework, pdf_file, slow_down


@pytest.fixture
def page(browsing: Browsing) -> Page:
    page = browsing.open("bob")
    open_homework(page)
    return page


@pytest.fixture
def stored(data: Path) -> Path:
    """The folder of the site with what is handed in."""
    return data / "uploads" / "homework"


def hand_in(page: Page, file: Path | FilePayload) -> None:
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Hand in").click()


def text_file(name: str) -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": b"Warp and weft.\n"}


def test_50_mib_go_up_with_progress_come_down_again_and_are_deleted(
    page: Page, stored: Path, tmp_path: Path
) -> None:
    path = pdf_file(tmp_path, "thesis.pdf", mebibytes=50)
    page.evaluate(WATCH_THE_BAR)
    slow_down(page, 20 * MEBIBYTE)
    hand_in(page, path)
    expect(page.locator("#upload-result")).to_have_text("thesis.pdf is handed in.")
    seen = page.evaluate("window.seen")
    shares = [share for share, _ in seen]
    assert shares == sorted(shares)
    assert len({share for share in shares if 0 < share < 100}) >= 2
    assert [text for _, text in seen] == [f"{int(share)} % of 50.0 MB" for share in shares]
    expect(page.get_by_role("progressbar")).to_be_hidden()
    files = page.get_by_role("region", name="Your files")
    expect(files.get_by_role("heading", level=3)).to_have_text(["thesis.pdf"])
    expect(files).to_contain_text("50.0")

    with page.expect_download() as download:
        files.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == "thesis.pdf"
    assert filecmp.cmp(path, download.value.path(), shallow=False)

    files.get_by_role("button", name="Delete").click()
    expect(files).to_contain_text("Nothing yet.")
    eventually(lambda: not list(stored.iterdir()))


def test_cancel_ends_an_upload_and_leaves_nothing(page: Page, stored: Path, tmp_path: Path) -> None:
    slow_down(page, MEBIBYTE)
    hand_in(page, pdf_file(tmp_path, "thesis.pdf", mebibytes=50))
    expect(page.locator("#upload-percent")).to_have_text(re.compile("^[1-9]"))
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#upload-result")).to_have_text("Cancelled. Nothing was kept.")
    expect(page.get_by_role("button", name="Hand in")).to_be_enabled()
    eventually(lambda: not list(stored.iterdir()))


def test_the_content_decides_if_a_file_is_taken(
    page: Page, browsing: Browsing, stored: Path
) -> None:
    browsing.expect_status(415)
    program: FilePayload = {
        "name": "essay.pdf",
        "mimeType": "application/pdf",
        "buffer": b"MZ\x90\x00" + bytes(1000),
    }
    hand_in(page, program)
    result = page.locator("#upload-result")
    expect(result).to_contain_text("This kind of file is not taken.")
    expect(page.get_by_label("File", exact=True)).to_have_attribute("aria-invalid", "true")
    hand_in(page, text_file("essay.txt"))
    expect(result).to_have_text("essay.txt is handed in.")
    assert len(list(stored.iterdir())) == 1


def test_a_name_is_text_and_never_a_path_or_a_part_of_the_page(page: Page, stored: Path) -> None:
    hand_in(page, text_file("../../<script>alert(1)<b>.txt"))
    expect(page.locator("#upload-result")).to_have_text("<script>alert(1)<b>.txt is handed in.")
    name = page.get_by_role("region", name="Your files").get_by_role("heading", level=3)
    expect(name).to_have_text("<script>alert(1)<b>.txt")
    assert name.locator("script, b").count() == 0
    page.reload()
    expect(name).to_have_text("<script>alert(1)<b>.txt")
    assert not any("script" in path.name for path in stored.parents[1].rglob("*"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes() == b"Warp and weft.\n"
