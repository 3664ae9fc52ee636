"""The library: found while it is typed, reviewed, and edited in the admin."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from .browsing import Browsing

REVIEW = "I read it in one night, and will read it again."


def search(page: Page, text: str) -> None:
    field = page.get_by_label("Search books")
    field.clear()
    field.press_sequentially(text)


def test_the_search_follows_what_is_typed(visitor: Page) -> None:
    visitor.goto("/books/")
    visitor.evaluate("window.wasLoadedOnce = true")
    count = visitor.locator("#result-count")
    expect(count).to_have_text("20 books")
    search(visitor, "bronte")
    expect(count).to_contain_text("2 books for bronte.")
    titles = visitor.locator("#results").get_by_role("heading", level=3)
    expect(titles).to_have_text(["Jane Eyre", "Wuthering Heights"])
    expect(visitor).to_have_url(re.compile(r"\?q=bronte$"))
    search(visitor, "no such book")
    expect(count).to_contain_text("0 books for no such book.")
    expect(titles).to_have_count(0)
    assert visitor.evaluate("window.wasLoadedOnce")
    count.get_by_role("link", name="Show all books").click()
    expect(count).to_have_text("20 books")


def test_a_search_is_shown_as_text(visitor: Page) -> None:
    visitor.goto("/books/")
    search(visitor, "<b>bold</b>")
    expect(visitor.locator("#result-count strong")).to_have_text("<b>bold</b>")


def test_a_book_leads_to_the_next_pages(visitor: Page) -> None:
    visitor.goto("/books/")
    visitor.get_by_role("link", name="Next").click()
    expect(visitor.get_by_text("Page 2 of 2")).to_be_visible()
    visitor.goto("/books/?q=pride")
    visitor.get_by_role("link", name="Pride and Prejudice").click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("Pride and Prejudice")
    expect(visitor.get_by_text("The letter in the middle")).to_be_visible()
    visitor.get_by_role("link", name="Sense and Sensibility").click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("Sense and Sensibility")


def test_a_review_without_faults_is_counted_and_can_be_changed(browsing: Browsing) -> None:
    page = browsing.open("bob")
    page.goto("/books/jane-eyre/")
    page.get_by_label("5: could not put it down").check()
    page.get_by_label("What did you think of it?").fill(REVIEW)
    page.get_by_role("button", name="Save review").click()
    expect(page.get_by_text("Your review of “Jane Eyre” is saved.")).to_be_visible()
    reviews = page.get_by_role("region", name="Reviews")
    expect(reviews.get_by_role("listitem")).to_contain_text(["Bob Dyer"])
    expect(reviews).to_contain_text(REVIEW)
    page.get_by_label("2: hard going").check()
    page.get_by_role("button", name="Save changes").click()
    expect(reviews.get_by_role("row", name=re.compile("^2")).get_by_role("cell").last).to_have_text(
        "1"
    )


def test_a_review_with_faults_is_given_back_with_what_is_wrong(browsing: Browsing) -> None:
    browsing.expect_status(422)
    page = browsing.open("bob")
    page.goto("/books/dracula/")
    page.get_by_label("What did you think of it?").fill("Short.")
    page.get_by_role("button", name="Save review").click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("Your review is not saved yet.")
    expect(alert.get_by_role("listitem")).to_have_text(
        ["Choose a rating from 1 to 5.", "Write at least 20 characters; these are 6."]
    )
    text = page.get_by_label("What did you think of it?")
    expect(text).to_have_value("Short.")
    alert.get_by_role("link", name="Write at least").click()
    expect(text).to_be_focused()
    text.fill(REVIEW)
    page.get_by_label("4: glad I read it").check()
    page.get_by_role("button", name="Save review").click()
    expect(page.get_by_text("Your review of “Dracula” is saved.")).to_be_visible()


def test_what_the_admin_changes_is_on_the_site(browsing: Browsing, visitor: Page) -> None:
    text = "A cabin, a candle, and a sentence added by the admin."
    admin = browsing.open("admin")
    admin.goto("/admin/")
    admin.get_by_role("rowheader", name="Books").get_by_role("link").click()
    admin.locator("#searchbar").fill("time machine")
    admin.get_by_role("button", name="Search").click()
    admin.get_by_role("link", name="The Time Machine").click()
    admin.get_by_label("Description").fill(text)
    admin.get_by_role("button", name="Save", exact=True).click()
    expect(admin.locator(".messagelist")).to_contain_text("was changed successfully")
    visitor.goto("/books/the-time-machine/")
    expect(visitor.locator(".description")).to_have_text(text)
