"""The system's Chromium for tests: found on the path, or named by LOOM_CHROMIUM."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

VARIABLE = "LOOM_CHROMIUM"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MISSING = f"no browser: none of {', '.join(NAMES)} is on the path, and {VARIABLE} names none"

# A browser that asks nothing of the network by itself, so that what is asked is the page's doing.
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find() -> str | None:
    """The browser's program, or None: what LOOM_CHROMIUM names goes before the path."""
    if named := os.environ.get(VARIABLE):
        return shutil.which(named)
    return next(filter(None, map(shutil.which, NAMES)), None)


def launch(playwright: Playwright) -> Browser:
    """Start the browser that find() found; the caller closes it.

    Raises:
        RuntimeError: There is no browser.
    """
    program = find()
    if program is None:
        raise RuntimeError(MISSING)
    # Its sandbox does not work for root, as which containers often run.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=program, args=[*QUIET, *sandbox])
