"""The reports' pages as a browser shows them: on a desk, on a phone, on paper, and offline."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from django_loom.lab.outcomes.outcome import CrossCheck
from django_loom.lab.reports.comparison import compare
from django_loom.lab.reports.comparison_files import write_comparison
from django_loom.lab.reports.html import document
from django_loom.lab.reports.report_files import write_report
from tests.lab.browser import PHONE, look_at, looking, missing
from tests.lab.outcomes import outcome, usual

# A browser's first start takes its time on a busy machine.
pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, looking(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The widest report: with notes, and with the columns of other generators."""
    checks = [CrossCheck(tool, "loom", 40, 375.5, "no keep-alive") for tool in ("ab", "wrk")]
    whole = replace(usual(), cross_checks=checks, notes=["A note of <this> run."])
    return write_report(whole, tmp_path_factory.mktemp("report")) / "report.html"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a comparison in which something changed, with each of its parts."""
    after = outcome({"loom": {5: (90, 91, 92), 40: (380, 385, 396)}})
    changed = replace(after, conditions={**after.conditions, "python": "<CPython> 3.14"})
    found = compare(usual(), replace(changed, started="2026-01-03"))
    return write_comparison(found, tmp_path_factory.mktemp("of") / "two") / "comparison.html"


@pytest.fixture(params=["report", "comparison"])
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def test_a_page_says_nothing_wrong_and_asks_for_nothing(browser: Any, page: Path) -> None:
    look = look_at(browser, page)
    assert (look.errors, look.messages, look.asked) == ([], [], [])


def test_a_page_shows_its_charts(browser: Any, page: Path) -> None:
    look = look_at(browser, page)
    charts = look.sizes("figure > svg")
    assert len(charts) == 2
    assert all(width > 300 and height > 200 for width, height in charts)
    # Lines of the servers, not only an empty frame.
    lines = look.sizes("figure > svg [id*=LineCollection], figure > svg [id*=line2d] path")
    assert len(lines) > 10


def test_a_report_shows_its_table(browser: Any, report: Path) -> None:
    look = look_at(browser, report)
    assert len(look.sizes("table")) == 1
    assert len(look.sizes("tbody tr")) == 6
    assert look.page.get_by_text("376 (no keep-alive)").count() == 2
    assert look.page.get_by_text("A note of <this> run.").is_visible()


def test_a_comparison_shows_its_tables(browser: Any, comparison: Path) -> None:
    look = look_at(browser, comparison)
    assert len(look.sizes("table")) == 2
    assert len(look.sizes("tbody tr")) == 3
    assert look.page.get_by_text("<CPython> 3.14").is_visible()


def test_a_page_fits_a_phone(browser: Any, page: Path) -> None:
    look = look_at(browser, page, PHONE)
    assert look.overflow == 0
    assert all(200 < width <= PHONE["width"] for width, _ in look.sizes("figure > svg"))


def test_a_page_prints_on_a_few_pages_with_all_its_table(browser: Any, page: Path) -> None:
    look = look_at(browser, page)
    paper: bytes = look.page.pdf(format="A4")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 4
    # What is wider than the paper would be cut off: as wide as A4 with Chromium's margins.
    look.page.emulate_media(media="print")
    look.page.set_viewport_size({"width": 718, "height": 1000})
    assert look.overflow == 0


def test_what_a_page_asks_for_and_gets_wrong_is_seen(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "wrong.html"
    body = (
        '<img src="http://127.0.0.1:9/x.png"><script>nothing()</script>'
        '<figure hidden><svg width="400" height="300"></svg></figure>'
        '<p style="width: 3000px">wide</p>'
    )
    file.write_text(document("wrong", body))
    look = look_at(browser, file)
    assert look.asked == ["http://127.0.0.1:9/x.png"]
    assert any("nothing is not defined" in error for error in look.errors)
    assert look.messages
    assert look.sizes("figure > svg") == []
    assert look.overflow > 1000
