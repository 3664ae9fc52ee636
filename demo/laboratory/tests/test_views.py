"""The pages of the lab, as a browser gets them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from unittest.mock import patch

from django.contrib.auth import get_user_model
from django.test import AsyncClient, SimpleTestCase, TestCase, override_settings
from django.urls import reverse

from demo.laboratory import reports, views
from demo.laboratory.experiments import Experiments

from .test_experiments import fake, until_measured, until_over

INDEX = reverse("laboratory:index")
MARKDOWN = """# concurrency

**Some latencies are too high.**

## What the data says

- loom <gave> more
- nothing else

![time](time.svg)

## Conditions

- cores: 2
"""


def write_report(name: str, started: str, complete: bool = True) -> None:
    """Write what the lab would."""
    folder = reports.reports_folder() / name
    folder.mkdir(parents=True)
    results = {"experiment": "concurrency", "started": started, "complete": complete}
    folder.joinpath("results.json").write_text(json.dumps(results))
    folder.joinpath("report.md").write_text(MARKDOWN)
    folder.joinpath("report.html").write_text("<style>p { color: red }</style><p>Report")


class InAFolder:
    """Keeps reports in a folder of the test's own."""

    def setUp(self) -> None:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.enterContext(override_settings(DATA=Path(folder)))


class ReportTests(InAFolder, SimpleTestCase):
    """Reports, and what can be had of them."""

    async def test_none_yet(self) -> None:
        response = await AsyncClient().get(INDEX)
        self.assertContains(response, "No report yet")

    async def test_the_last_one_is_shown(self) -> None:
        write_report("old", "2026-01-01T10:00:00+00:00")
        write_report("new", "2026-01-02T10:00:00+00:00", complete=False)
        (reports.reports_folder() / "broken").mkdir()
        (reports.reports_folder() / "broken" / "results.json").write_text("[]")
        assert [each.name for each in reports.listed()] == ["new", "old"]
        response = await AsyncClient().get(INDEX)
        self.assertContains(response, "2 January 2026")
        self.assertContains(response, "<li>loom &lt;gave&gt; more</li>")
        self.assertContains(response, "Some latencies are too high.")
        self.assertContains(response, "incomplete")
        self.assertNotContains(response, "cores: 2")

    async def test_one_that_is_being_written_is_shown_without_what_it_says(self) -> None:
        write_report("new", "2026-01-02T10:00:00+00:00")
        (reports.reports_folder() / "new" / "report.md").unlink()
        response = await AsyncClient().get(INDEX)
        self.assertContains(response, "2 January 2026")
        self.assertNotContains(response, "What the data says")

    async def test_a_report_may_have_styles_and_nothing_else(self) -> None:
        write_report("one", "2026-01-01T10:00:00+00:00")
        response = await AsyncClient().get(
            reverse("laboratory:report_file", args=["one", "report.html"])
        )
        response.close()
        assert response.status_code == 200
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'; style-src 'unsafe-inline'" in policy
        assert "sandbox" in policy
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"

    async def test_no_other_file_can_be_had(self) -> None:
        write_report("one", "2026-01-01T10:00:00+00:00")
        (reports.reports_folder().parent / "results.json").write_text("{}")
        for name, file in [
            ("none", "report.html"),
            ("one", "report.md"),
            ("one", "rate.svg"),  # it is not there
            ("..", "results.json"),
            ("%2e%2e", "results.json"),
        ]:
            response = await AsyncClient().get(f"{INDEX}reports/{name}/{file}")
            assert response.status_code == 404, name

    def test_the_oldest_are_removed(self) -> None:
        for day in range(1, 5):
            write_report(f"on-{day}", f"2026-01-0{day}T10:00:00+00:00")
        with patch.object(reports, "MAX_REPORTS", 2):
            reports.remove_old()
        assert [each.name for each in reports.listed()] == ["on-4", "on-3"]


class ExperimentTests(InAFolder, TestCase):
    """The buttons, and the progress."""

    def use(self, what: str) -> Experiments:
        experiments = fake(what)
        self.enterContext(patch.object(views, "experiments", experiments))
        return experiments

    async def log_in(self) -> None:
        user = await get_user_model().objects.acreate_user("ann")
        await self.async_client.aforce_login(user)

    async def test_who_is_not_logged_in_is_asked_to(self) -> None:
        experiments = self.use("finish")
        self.assertContains(await self.async_client.get(INDEX), "Log in</a> to run one")
        for name in ["start", "cancel"]:
            response = await self.async_client.post(
                reverse(f"laboratory:{name}"), {"experiment": "concurrency"}
            )
            self.assertRedirects(
                response, "/accounts/login/?next=%2Flab%2F", fetch_redirect_response=False
            )
        assert experiments.progress is None

    async def test_from_the_button_to_the_end(self) -> None:
        experiments = self.use("wait")
        await self.log_in()
        start = reverse("laboratory:start")
        response = await self.async_client.post(start, {"experiment": "fan-out"})
        self.assertRedirects(response, INDEX, fetch_redirect_response=False)
        await until_measured(experiments)
        self.assertContains(await self.async_client.get(INDEX), "1 of 2")
        self.assertContains(await AsyncClient().get(reverse("laboratory:panel")), "1 of 2")
        response = await self.async_client.post(start, {"experiment": "blocking"}, follow=True)
        self.assertContains(response, "only one runs at a time")
        await self.async_client.post(reverse("laboratory:cancel"))
        await until_over(experiments)
        page = await self.async_client.get(INDEX)
        self.assertContains(page, "cancelled.")
        self.assertContains(page, "Run the experiment")

    async def test_another_experiment_than_those_offered(self) -> None:
        experiments = self.use("finish")
        await self.log_in()
        for name in ["cpu", "--help", ""]:
            response = await self.async_client.post(
                reverse("laboratory:start"), {"experiment": name}, follow=True
            )
            self.assertContains(response, "There is no such experiment")
        assert experiments.progress is None

    async def test_progress_as_events(self) -> None:
        experiments = self.use("finish")
        experiments.start("concurrency", "ann")
        response = await AsyncClient().get(reverse("laboratory:progress"))
        assert response.headers["Content-Type"] == "text/event-stream"
        parts = [part async for part in response]
        assert b'"over": true' in parts[-1]

    async def test_the_token_is_needed(self) -> None:
        for name in ["start", "cancel"]:
            with self.assertLogs("django.security.csrf"):
                response = await AsyncClient(enforce_csrf_checks=True).post(
                    reverse(f"laboratory:{name}")
                )
            assert response.status_code == 403
