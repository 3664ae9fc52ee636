"""What homework in the browser needs: files, a slow line, and an eye on the progress bar."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

MEBIBYTE = 2**20
PDF = b"%PDF-1.7\n"
PATTERN = bytes(range(256)) * 4096

# Notes each value that the visible bar is given, and what is written below it then.
WATCH_THE_BAR = """
    window.seen = [];
    const bar = document.getElementById("upload-bar");
    const text = document.getElementById("upload-percent");
    new MutationObserver(() => {
        if (bar.checkVisibility() && text.textContent) seen.push([bar.value, text.textContent]);
    }).observe(bar, { attributeFilter: ["value"] });
"""


def pdf_file(folder: Path, name: str, mebibytes: int) -> Path:
    """Make a file that begins as a PDF does."""
    path = folder / name
    content = PATTERN * mebibytes
    path.write_bytes(PDF + content[len(PDF) :])
    return path


def open_homework(page: Page) -> None:
    """Go to the page, and see to it that nothing has been handed in."""
    page.goto("/homework/")
    page.on("dialog", lambda dialog: dialog.accept())
    delete = page.get_by_role("button", name="Delete")
    while left := delete.count():
        delete.first.click()
        expect(delete).to_have_count(left - 1)


def slow_down(page: Page, bytes_per_second: int) -> None:
    """Send no faster than that from now on; -1 for as fast as it goes."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": 0,
            "downloadThroughput": -1,
            "uploadThroughput": bytes_per_second,
        },
    )
