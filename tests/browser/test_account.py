"""Logging in and out, with the mouse and without."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from .browsing import PASSWORD, log_in

MOST_STEPS = 30


def step_to(page: Page, name: str) -> None:
    """Press Tab until the element that is named has the focus."""
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"the Tab key never gets to {name!r}")


def test_log_in_and_out(visitor: Page) -> None:
    log_in(visitor, "ann")
    expect(visitor.get_by_title("Logged in as ann")).to_be_visible()
    visitor.get_by_role("button", name="Log out").click()
    expect(visitor.get_by_role("link", name="Log in", exact=True)).to_be_visible()


def test_a_wrong_password_is_told_and_lets_nobody_in(visitor: Page) -> None:
    log_in(visitor, "ann", "wrong")
    expect(visitor.get_by_role("alert")).to_contain_text("correct username and password")
    expect(visitor.get_by_label("User name")).to_have_value("ann")
    expect(visitor.get_by_label("Password")).to_have_value("")
    expect(visitor.get_by_role("button", name="Log out")).to_have_count(0)


def test_the_first_tab_offers_to_skip_to_the_content(visitor: Page) -> None:
    visitor.goto("/books/")
    skip = visitor.get_by_role("link", name="Skip to the content")
    expect(skip).not_to_be_in_viewport()
    visitor.keyboard.press("Tab")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    visitor.keyboard.press("Enter")
    expect(visitor.get_by_role("main")).to_be_focused()
    visitor.keyboard.press("Tab")
    expect(visitor.get_by_label("Search books")).to_be_focused()


def test_log_in_with_the_keyboard_alone_on_the_way_to_a_page(visitor: Page) -> None:
    visitor.goto("/books/")
    step_to(visitor, "Homework")
    visitor.keyboard.press("Enter")
    expect(visitor.get_by_label("User name")).to_be_focused()
    visitor.keyboard.type("bob")
    visitor.keyboard.press("Tab")
    visitor.keyboard.type(PASSWORD)
    step_to(visitor, "Log in")
    visitor.keyboard.press("Enter")
    expect(visitor.get_by_title("Logged in as bob")).to_be_visible()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("Homework")
