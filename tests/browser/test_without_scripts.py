"""What a browser does that runs no scripts: all of it works, with whole pages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from .browsing import Browsing


@pytest.fixture
def page(browsing: Browsing) -> Page:
    return browsing.open("admin", java_script_enabled=False)


def test_search(page: Page) -> None:
    page.goto("/books/")
    page.get_by_label("Search books").fill("kieu")
    page.get_by_role("button", name="Search").click()
    expect(page.locator("#result-count")).to_contain_text("1 book for kieu.")
    expect(page.get_by_role("link", name="The Tale of Kiều")).to_be_visible()


def test_hand_in_and_delete(page: Page) -> None:
    page.goto("/homework/")
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "essay.txt", "mimeType": "text/plain", "buffer": b"Warp and weft.\n"}
    )
    page.get_by_role("button", name="Hand in").click()
    expect(page.get_by_role("status").first).to_have_text("essay.txt is handed in.")
    page.get_by_role("button", name="Delete essay.txt").click()
    expect(page.get_by_role("status").first).to_have_text("essay.txt is deleted.")
    expect(page.get_by_text("Nothing yet.")).to_be_visible()


def test_set_the_services(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="Set the services").click()
    page.get_by_role("button", name="Both well").click()
    expect(page.get_by_role("status").first).to_have_text("The services are set.")
    page.get_by_role("link", name="Synchronous").click()
    expect(page).to_have_url("/sync/#today")
