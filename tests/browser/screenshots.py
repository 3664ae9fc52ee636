"""Makes the pictures of the demo in the documentation: `python -m tests.browser.screenshots`.

It runs the site with new data and a report of the lab that is made from `benchmarks/results`,
does in each area what a visitor would, and writes `docs/images/demo-*.png`. Look at them before
they are committed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from tests import chromium

from .browsing import PATIENCE, PHONE, Browsing
from .site import running
from .uploads import MEBIBYTE, pdf_file, slow_down

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "images"
MEASURED = ROOT / "benchmarks" / "results" / "lab" / "concurrency.json"
REPORT = [sys.executable, "-m", "django_loom.cli", "lab", "report", str(MEASURED), "--out"]
MOST_BYTES = 200 * 1024
COLOURS = 256


def home(page: Page) -> None:
    page.goto("/")
    page.get_by_role("button", name="Set the services").wait_for()


def waterfall(page: Page) -> None:
    home(page)
    page.get_by_role("link", name="Awaited one by one").click()
    expect(page.locator("[aria-current=page]").last).to_have_text("Awaited one by one")
    show(page, "#today")


def missing(page: Page) -> None:
    home(page)
    page.get_by_role("button", name="Promotions too slow").click()
    page.get_by_text("Something is missing.").wait_for()
    show(page, "#today")


def books(page: Page) -> None:
    page.goto("/books/")


def book(page: Page) -> None:
    page.goto("/books/pride-and-prejudice/")


def certificate(page: Page) -> None:
    page.goto("/certificates/love-money-and-manners/")
    page.get_by_label("Full name").fill("Nguyễn Thị Ánh")
    page.locator("form:has(#id_name) button").click()
    page.get_by_text("is made out to").wait_for()


def homework(page: Page) -> None:
    """Two files that are there, and one that is arriving."""
    page.goto("/homework/")
    with tempfile.TemporaryDirectory() as folder:
        for name, mebibytes in [("Weaving patterns.pdf", 3), ("Сочинение Анны.pdf", 1)]:
            hand_in(page, pdf_file(Path(folder), name, mebibytes))
            page.get_by_role("heading", name=name).wait_for()
        slow_down(page, 4 * MEBIBYTE)
        hand_in(page, pdf_file(Path(folder), "Thesis, with figures.pdf", 50))
        expect(page.locator("#upload-percent")).to_have_text(re.compile("^[2-9]. %"))


def timeline(page: Page) -> None:
    """The second of its kind, as the first waits for connections to be made."""
    for _ in range(2):
        page.goto("/under-the-hood/")
        page.get_by_role("button", name="Run five queries gathered").click()
        page.get_by_role("table", name="When each query").wait_for()


def load(page: Page) -> None:
    page.goto("/under-the-hood/")
    page.get_by_role("button", name="Send 200 requests to each").click()
    page.locator(".load-panel").last.wait_for()
    show(page, "#load-result")


def report(page: Page) -> None:
    page.goto("/lab/")
    for chart in page.locator(".charts img").all():
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_js_property("complete", True)
    page.locator("section:has(#report-heading)").evaluate("part => part.scrollIntoView(false)")


def lab(page: Page) -> None:
    """An experiment on its way; it ends with the site."""
    page.goto("/lab/")
    page.get_by_role("button", name="Run the experiment").click()
    expect(page.locator("#experiment-count")).to_have_text(re.compile(r"^[1-9]\d* of \d+$"))


def hand_in(page: Page, file: Path) -> None:
    page.get_by_label("File", exact=True).set_input_files(file)
    page.get_by_role("button", name="Hand in").click()


def show(page: Page, selector: str) -> None:
    """Scroll to a part of the page, and leave a little above it."""
    page.locator(selector).evaluate("part => scrollTo(0, part.offsetTop - 16)")


PHONE_OPTIONS = {"viewport": PHONE, "is_mobile": True, "has_touch": True}
# Name of the picture: how the page comes about, who looks, with which window.
PICTURES: dict[str, tuple[Callable[[Page], None], str | None, dict[str, object]]] = {
    "home": (home, None, {}),
    "waterfall": (waterfall, None, {}),
    "books": (books, None, {}),
    "book": (book, "bob", {}),
    "certificate": (certificate, "ann", {}),
    "homework": (homework, "ann", {}),
    "timeline": (timeline, None, {}),
    "load": (load, None, {}),
    "phone": (books, "ann", PHONE_OPTIONS),
    "phone-waterfall": (waterfall, "ann", PHONE_OPTIONS),
    "dark": (missing, "ann", {"color_scheme": "dark"}),
    "report": (report, "ann", {}),
    "lab": (lab, "ann", {}),  # the last, as its experiment takes the machine
}


def main(names: list[str]) -> None:
    """Make the pictures that are named; all, if none is."""
    expect.set_options(timeout=PATIENCE)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        subprocess.run([*REPORT, str(Path(folder) / "lab")], check=True, capture_output=True)
        browser = chromium.launch(playwright)
        with running(Path(folder)) as address:
            browsing = Browsing(browser, address, {})
            for name in names or PICTURES:
                take(browsing, name)
            browsing.close()
        browser.close()
    if browsing.faults:
        sys.exit("\n".join(browsing.faults))


def take(browsing: Browsing, name: str) -> None:
    """Bring a page about, and write its picture."""
    prepare, user, options = PICTURES[name]
    page = browsing.open(user, **options)
    prepare(page)
    page.mouse.move(0, 0)  # or what was clicked last looks different
    path = FOLDER / f"demo-{name}.png"
    picture = Image.open(BytesIO(page.screenshot(animations="disabled", caret="hide")))
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size / 1024:.0f} KiB")
    if size > MOST_BYTES:
        sys.exit(f"expected at most {MOST_BYTES / 1024:.0f} KiB: show less, or with fewer colours")
    page.context.close()


if __name__ == "__main__":
    main(sys.argv[1:])
