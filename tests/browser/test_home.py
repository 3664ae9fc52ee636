"""The first page, in three variants, while its services do well or do not."""

from __future__ import annotations

import pytest
from playwright.sync_api import Locator, Page, expect

from .browsing import Browsing

VARIANTS = {"/sync/": "Synchronous", "/serial/": "Awaited one by one", "/": "Gathered"}
OFFERS = ["Offers", "Events"]
RECOMMENDATIONS = ["For you", "Popular now"]


@pytest.fixture
def page(browsing: Browsing) -> Page:
    """A visitor's window. Each test sets the services as it needs them."""
    return browsing.open()


def set_service(page: Page, name: str, delay: int, failures: int) -> None:
    """Fill in a part of the form."""
    group = page.get_by_role("group", name=name)
    group.get_by_label("Delay in milliseconds").fill(str(delay))
    group.get_by_label("Failures in percent").fill(str(failures))


def send_settings(page: Page) -> None:
    page.get_by_role("button", name="Set the services").click()
    expect(page.get_by_text("The services are set.")).to_be_visible()


def make_quick(page: Page, failures: int = 0) -> None:
    """Let both services answer at once, and recommendations fail that often."""
    page.goto("/services/")
    set_service(page, "Promotions", delay=0, failures=0)
    set_service(page, "Recommendations", delay=0, failures=failures)
    send_settings(page)


def parts(page: Page, *names: str) -> list[Locator]:
    return [page.get_by_role("region", name=name, exact=True) for name in names]


def expect_answers(page: Page, *names: str) -> None:
    for part in parts(page, *names):
        expect(part.get_by_role("term").first).to_be_visible()


def expect_missing(page: Page, *names: str) -> None:
    for part in parts(page, *names):
        expect(part).to_contain_text("Not available at the moment.")


@pytest.mark.parametrize("address", VARIANTS)
def test_all_is_there_when_both_services_do_well(page: Page, address: str) -> None:
    make_quick(page)
    page.goto(address)
    variants = page.get_by_role("navigation", name="Ways to ask")
    expect(variants.locator("[aria-current=page]")).to_have_text(VARIANTS[address])
    expect_answers(page, *OFFERS, *RECOMMENDATIONS)
    expect(page.get_by_text("Something is missing.")).to_have_count(0)
    waterfall = page.get_by_role("table", name="All questions")
    for name in [*OFFERS, *RECOMMENDATIONS, "Together"]:
        expect(waterfall.get_by_role("row", name=name)).to_contain_text(" ms")


@pytest.mark.parametrize("address", VARIANTS)
def test_a_service_that_fails_is_told(page: Page, address: str) -> None:
    make_quick(page, failures=100)
    page.goto(address)
    missing = page.locator(".notice", has_text="Something is missing.")
    expect(missing.get_by_role("listitem")).to_have_text(
        [
            f"{name}: the service “recommendations” answered 503 Service Unavailable."
            for name in RECOMMENDATIONS
        ]
    )
    expect_missing(page, *RECOMMENDATIONS)
    expect_answers(page, *OFFERS)


@pytest.mark.parametrize("address", VARIANTS)
def test_a_service_that_is_too_slow_is_not_waited_for(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Promotions too slow").click()
    missing = page.locator(".notice", has_text="Something is missing.")
    expect(missing.get_by_role("listitem").first).to_have_text(
        "Offers: the service “promotions” did not answer in time."
    )
    expect_missing(page, *OFFERS)


def test_gathered_has_what_the_other_service_knows(page: Page) -> None:
    page.goto("/")
    set_service(page, "Promotions", delay=3000, failures=0)
    set_service(page, "Recommendations", delay=0, failures=0)
    send_settings(page)
    expect_missing(page, *OFFERS)
    expect_answers(page, *RECOMMENDATIONS)


def test_the_variants_are_links_that_change_their_part_of_the_page(page: Page) -> None:
    make_quick(page)
    page.goto("/")
    page.evaluate("window.wasLoadedOnce = true")
    variants = page.get_by_role("navigation", name="Ways to ask")
    for address, title in VARIANTS.items():
        variants.get_by_role("link", name=title).click()
        expect(variants.locator("[aria-current=page]")).to_have_text(title)
        expect(page).to_have_url(address)
    assert page.evaluate("window.wasLoadedOnce")
    page.go_back()
    expect(page).to_have_url("/serial/")
    expect(variants.locator("[aria-current=page]")).to_have_text("Awaited one by one")


def test_a_value_that_is_too_large_is_told_beside_its_field(page: Page, browsing: Browsing) -> None:
    browsing.expect_status(422)
    page.goto("/services/")
    page.locator("form.services-form").evaluate("form => form.noValidate = true")
    set_service(page, "Promotions", delay=60_000, failures=0)
    page.get_by_role("button", name="Set the services").click()
    expect(page.get_by_role("group", name="Promotions")).to_contain_text(
        "Ensure this value is less than or equal to 5000."
    )
    expect(page.get_by_label("Delay in milliseconds").first).to_have_value("60000")
