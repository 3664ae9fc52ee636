"""Under the hood: the last requests, five queries, and 200 requests at three views."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect


def test_the_last_requests_are_shown_with_their_timelines(visitor: Page) -> None:
    visitor.goto("/books/?q=loom")
    visitor.goto("/under-the-hood/")
    requests = visitor.get_by_role("region", name="The last requests")
    newest = requests.get_by_role("row").nth(1)
    expect(newest).to_contain_text("GET /books/")
    expect(newest).to_contain_text("200")
    newest.get_by_role("link").click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("GET /books/")
    timeline = visitor.get_by_role("table", name="When each query and hop began")
    expect(timeline.get_by_role("row", name="the whole request")).to_be_visible()
    expect(timeline.get_by_role("row", name="SELECT").first).to_be_visible()


def test_gathered_queries_run_at_the_same_moment(visitor: Page) -> None:
    visitor.goto("/under-the-hood/")
    visitor.get_by_role("button", name="Run five queries one by one").click()
    expect(visitor.get_by_text("5 queries, one after the other.")).to_be_visible()
    visitor.get_by_role("link", name="Under the hood").last.click()
    visitor.get_by_role("button", name="Run five queries gathered").click()
    expect(visitor.get_by_text(re.compile("5 queries, up to [2-5] of them"))).to_be_visible()


def test_200_requests_are_drawn_for_each_of_three_views(visitor: Page) -> None:
    visitor.goto("/under-the-hood/")
    visitor.get_by_role("button", name="Send 200 requests to each").click()
    load = visitor.get_by_role("region", name="200 requests at a view")
    panels = load.get_by_role("figure")
    expect(panels).to_have_count(3, timeout=60_000)
    for panel, name in zip(panels.all(), ["sync", "serial", "gathered"], strict=True):
        expect(panel).to_contain_text(name)
        expect(panel.get_by_role("img", name="200 requests in")).to_be_visible()
        lines = panel.locator("path.good").get_attribute("d") or ""
        assert lines.count("M") == 200
    for name in ["sync", "serial", "gathered"]:
        expect(load.get_by_role("row", name=f"/under-the-hood/work/{name}/")).to_be_visible()
