"""A page in a headless browser: what it shows, what it says, what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import chromium

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}
PATIENCE = 45_000  # milliseconds, for a page on a busy machine


def missing() -> str | None:
    """Why there is no look in a browser; None if there can be one."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "needs playwright"
    return None if chromium.find() else chromium.MISSING


@dataclass
class Look:
    """What a browser saw of a page."""

    page: Any
    messages: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def sizes(self, selector: str) -> list[tuple[float, float]]:
        """The width and height of each part that is found, and is not hidden."""
        parts = self.page.locator(selector).all()
        boxes = [part.bounding_box() for part in parts if part.is_visible()]
        return [(box["width"], box["height"]) for box in boxes if box]

    @property
    def overflow(self) -> int:
        """Pixels of the page that are beside the window."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        return max(0, found)


@contextmanager
def looking(playwright: Any) -> Iterator[Any]:
    """A browser without a network."""
    browser = chromium.launch(playwright)
    try:
        yield browser
    finally:
        browser.close()


def look_at(browser: Any, file: Path, size: dict[str, int] = DESK) -> Look:
    """Open a file, with a window of that size and no network; close its page with `pytest`'s."""
    context = browser.new_context(viewport=size, offline=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    look = Look(page)
    page.on("console", lambda message: look.messages.append(message.text))
    page.on("pageerror", lambda error: look.errors.append(str(error)))
    page.on("request", lambda request: look.asked.append(request.url))
    page.goto(file.as_uri(), wait_until="load")
    look.asked.remove(file.as_uri())
    return look
