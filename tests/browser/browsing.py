"""Windows of a browser on the site, and all that went wrong in them."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, StorageState

PASSWORD = "loom-demo"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
PATIENCE = 30_000  # milliseconds, for a page on a busy machine

_STATUS = re.compile(r"responded with a status of (\d+)")


class Browsing:
    """What one test does in the browser. Faults are gathered until it has ended.

    A fault is what the browser's console calls an error: of a script, of the policy (CSP), of a
    request; a status that the test expects is none.
    """

    def __init__(self, browser: Browser, address: str, sessions: dict[str, StorageState]) -> None:
        self.faults: list[str] = []
        self._browser = browser
        self._address = address
        self._sessions = sessions
        self._contexts: list[BrowserContext] = []
        self._expected: set[int] = set()
        self._seen: set[int] = set()

    def open(self, user: str | None = None, **options: Any) -> Page:
        """A window, logged in as a user, or as nobody; ``options`` are those of the context."""
        session = self._session(user) if user else None
        return self._window(storage_state=session, **options)

    def expect_status(self, *statuses: int) -> None:
        """Say which errors of HTTP belong to the test; each has to come."""
        self._expected.update(statuses)

    def close(self) -> None:
        """Close all windows."""
        for context in self._contexts:
            context.close()

    @property
    def missing(self) -> set[int]:
        """The statuses that were expected and have not come."""
        return self._expected - self._seen

    def _window(self, **options: Any) -> Page:
        context = self._browser.new_context(
            **{"base_url": self._address, "viewport": DESK, "color_scheme": "light"} | options
        )
        self._contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))
        return context.new_page()

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type != "error":
            return
        status = _STATUS.search(message.text)
        if status is not None and int(status[1]) in self._expected:
            self._seen.add(int(status[1]))
        else:
            self.faults.append(f"{message.location['url']}: {message.text}")

    def _session(self, user: str) -> StorageState:
        if user not in self._sessions:
            page = self._window()
            log_in(page, user)
            self._sessions[user] = page.context.storage_state()
        return self._sessions[user]


def log_in(page: Page, user: str, password: str = PASSWORD) -> None:
    """Fill in the form and send it; wait for the page that comes."""
    page.goto("/accounts/login/")
    page.get_by_label("User name").fill(user)
    page.get_by_label("Password").fill(password)
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
