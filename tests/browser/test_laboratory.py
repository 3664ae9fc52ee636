"""The lab: an experiment starts, tells how far it is, and can be cancelled."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect


def test_who_is_not_logged_in_is_asked_to_before_an_experiment(visitor: Page) -> None:
    visitor.goto("/lab/")
    experiment = visitor.get_by_role("region", name="Quick experiment")
    experiment.get_by_role("link", name="Log in").click()
    expect(visitor.get_by_role("heading", level=1)).to_have_text("Log in")


def test_an_experiment_shows_its_progress_and_can_be_cancelled(ann: Page, visitor: Page) -> None:
    ann.goto("/lab/")
    experiment = ann.get_by_role("region", name="Quick experiment")
    experiment.get_by_label("More and more clients").check()
    experiment.get_by_role("button", name="Run the experiment").click()
    expect(experiment).to_contain_text("More and more clients, started by ann.")
    expect(experiment.locator("#experiment-count")).to_have_text(re.compile(r"^\d+ of \d+$"))

    visitor.goto("/lab/")
    expect(visitor.get_by_role("region", name="Quick experiment")).to_contain_text("by ann")
    expect(visitor.get_by_role("button", name="Cancel")).to_have_count(0)

    experiment.get_by_role("button", name="Cancel").click()
    expect(experiment.get_by_role("status")).to_contain_text("More and more clients: cancelled.")
    expect(experiment.get_by_role("button", name="Run the experiment")).to_be_visible()
    expect(visitor.get_by_role("status")).to_contain_text("cancelled.")
