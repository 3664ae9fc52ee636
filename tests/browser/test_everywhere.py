"""What holds on each page: on a phone, in the dark, and for those who hear it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Literal

import pytest
from playwright.sync_api import Page

from .browsing import PHONE, Browsing

PAGES = [
    "/",
    "/services/",
    "/accounts/login/",
    "/books/",
    "/books/?q=nothing+like+this",
    "/books/pride-and-prejudice/",
    "/books/pride-and-prejudice/review/",
    "/books/courses/monsters-and-machines/",
    "/certificates/",
    "/certificates/monsters-and-machines/",
    "/homework/",
    "/under-the-hood/",
    "/lab/",
]
NOT_THERE = "/books/no-such-book/"

# Addresses without their queries; those of requests come and go with each request.
LINK = re.compile(r'(?:href|src)="(/[^"?#]*)')
NOT_FOLLOWED = ("/under-the-hood/requests/",)

UNNAMED = """
    [...document.querySelectorAll("input:not([type=hidden]), select, textarea, progress")]
        .filter((field) => !field.labels.length && !field.ariaLabel && !field.ariaHidden)
        .map((field) => field.outerHTML)
"""
LEVELS = """
    [...document.querySelectorAll("h1, h2, h3, h4")].map((heading) => Number(heading.tagName[1]))
"""
# How bright a colour is, from 0 to 1; one that is not there is that of what lies below.
BRIGHTNESS = """
    (name) => {
        for (const element of [document.body, document.documentElement]) {
            const colour = getComputedStyle(element)[name];
            const [red, green, blue, alpha] = colour.match(/[0-9.]+/g).map(Number);
            if (alpha !== 0) return (red + green + blue) / 3 / 255;
        }
        return 1;
    }
"""


@pytest.fixture
def phone(browsing: Browsing) -> Page:
    return browsing.open("ann", viewport=PHONE, is_mobile=True, has_touch=True)


def width(page: Page) -> int:
    found: int = page.evaluate("document.documentElement.scrollWidth")
    return found


def brightness(page: Page, scheme: Literal["dark", "light"]) -> tuple[float, float]:
    """That of the background and that of the text."""
    page.emulate_media(color_scheme=scheme)
    return page.evaluate(BRIGHTNESS, "backgroundColor"), page.evaluate(BRIGHTNESS, "color")


@pytest.mark.parametrize("address", PAGES)
def test_a_page_fits_on_a_phone_and_has_names_and_headings(phone: Page, address: str) -> None:
    phone.goto(address)
    assert width(phone) == PHONE["width"]
    assert phone.evaluate(UNNAMED) == []
    levels = phone.evaluate(LEVELS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(levels))


def test_a_page_that_is_not_there_says_so_and_fits_on_a_phone(
    phone: Page, browsing: Browsing
) -> None:
    browsing.expect_status(404)
    response = phone.goto(NOT_THERE)
    assert response is not None
    assert response.status == 404
    assert phone.get_by_role("heading", level=1).is_visible()
    assert phone.get_by_role("navigation", name="Areas").is_visible()
    assert width(phone) == PHONE["width"]


def test_pages_of_requests_and_of_a_run_fit_on_a_phone(phone: Page) -> None:
    phone.goto("/under-the-hood/")
    phone.get_by_role("button", name="Run five queries gathered").click()
    phone.get_by_role("table", name="When each query").wait_for()
    assert width(phone) == PHONE["width"]


def test_pages_follow_the_scheme_of_the_system(browsing: Browsing) -> None:
    page = browsing.open("ann")
    for address in ["/", "/books/", "/certificates/", "/homework/", "/under-the-hood/", "/lab/"]:
        page.goto(address)
        background, text = brightness(page, "dark")
        assert background < 0.2, address
        assert text > 0.6, address
        background, text = brightness(page, "light")
        assert background > 0.8, address
        assert text < 0.4, address


def test_no_link_leads_nowhere(browsing: Browsing) -> None:
    request = browsing.open("ann").request
    ahead, seen = ["/"], {"/"}
    while ahead:
        address = ahead.pop()
        response = request.get(address)
        assert response.status == 200, address
        if response.headers["content-type"].startswith("text/html"):
            found = set(LINK.findall(response.text())) - seen
            new = [each for each in found if not each.startswith(NOT_FOLLOWED)]
            seen.update(new)
            ahead.extend(new)
    assert {"/admin/", "/lab/", "/static/academy.css", "/books/frankenstein/"} <= seen


def test_what_goes_wrong_on_a_page_is_noticed(browsing: Browsing) -> None:
    page = browsing.open()
    page.goto("/")
    with page.expect_console_message():
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')")
    with page.context.expect_event("weberror"):
        page.evaluate("setTimeout(() => { throw new Error('a fault of a script') })")
    with page.expect_console_message():
        page.goto("/no-such-page/")
    faults = "\n".join(browsing.faults)
    assert "violates the following Content Security Policy" in faults
    assert "a fault of a script" in faults
    assert "/no-such-page/: Failed to load resource" in faults
    browsing.faults.clear()
