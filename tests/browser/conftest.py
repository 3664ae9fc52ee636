"""The site, the browser, and its windows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect, sync_playwright

from tests import chromium

from .browsing import PATIENCE, Browsing
from .site import running

TIMEOUT = 180  # seconds; the first test waits for the browser and the site


def pytest_itemcollected(item: pytest.Item) -> None:
    """Give the tests here more time; without a browser they are skipped."""
    item.add_marker(pytest.mark.timeout(TIMEOUT))
    if chromium.find() is None:
        item.add_marker(pytest.mark.skip(reason=chromium.MISSING))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium. Playwright's loop is this package's: it ends before other tests begin."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the site."""
    return tmp_path_factory.mktemp("academy")


@pytest.fixture(scope="package")
def site(browser: Browser, data: Path) -> Iterator[str]:
    """The address of the site. It stops in the end, with exit code 0 and nothing left."""
    with running(data) as address:
        yield address


@pytest.fixture(scope="package")
def sessions() -> dict[str, StorageState]:
    """The cookies of those who have logged in."""
    return {}


@pytest.fixture
def browsing(browser: Browser, site: str, sessions: dict[str, StorageState]) -> Iterator[Browsing]:
    """The windows of a test, in which nothing may go wrong that it does not expect."""
    browsing = Browsing(browser, site, sessions)
    yield browsing
    browsing.close()
    assert browsing.faults == []
    assert browsing.missing == set()


@pytest.fixture
def visitor(browsing: Browsing) -> Page:
    """A window of somebody who is not logged in."""
    return browsing.open()


@pytest.fixture
def ann(browsing: Browsing) -> Page:
    """A window of the student Ann."""
    return browsing.open("ann")
