"""The site's own middleware, and the rules that it sets for pages."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory, SimpleTestCase

from demo.project.middleware import POLICY, ContentSecurityPolicy


class MiddlewareTests(SimpleTestCase):
    def test_each_page_has_the_policy(self) -> None:
        for address in ("/accounts/login/", "/nothing/", "/static/academy.css"):
            with self.subTest(address):
                page = self.client.get(address)
                assert ("Content-Security-Policy" in page.headers) == ("static" not in address)

    def test_the_policy_allows_nothing_inline(self) -> None:
        assert "default-src 'self'" in POLICY
        assert "unsafe" not in POLICY

    def test_a_view_may_set_its_own(self) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse(headers={"Content-Security-Policy": "sandbox"})

        response = ContentSecurityPolicy(view)(RequestFactory().get("/"))
        assert response.headers["Content-Security-Policy"] == "sandbox"

    def test_the_admin_has_the_policy_and_the_icon(self) -> None:
        page = self.client.get("/admin/login/")
        assert page.headers["Content-Security-Policy"] == POLICY
        self.assertContains(page, 'rel="icon"')

    async def test_each_answer_tells_its_time(self) -> None:
        page = await self.async_client.get("/accounts/login/")
        assert re.search(r"^site;dur=\d+\.\d$", page.headers["Server-Timing"])


class TemplateTests(SimpleTestCase):
    """What the policy would block must not be in a template."""

    def test_no_template_has_anything_inline(self) -> None:
        templates = list(Path(settings.ROOT).glob("**/templates/**/*.html"))
        assert len(templates) > 5
        for path in templates:
            with self.subTest(path.name):
                assert not re.search(INLINE, path.read_text())

    def test_what_is_inline_is_found(self) -> None:
        for html in (
            '<p style="x">',
            '<a\n  onclick="x()">',
            "<script>x()</script>",
            "<style>",
            '<a href="javascript:x()">',
        ):
            with self.subTest(html):
                assert re.search(INLINE, html)


INLINE = r"(?i)<[^>]*\sstyle\s*=|<[^>]*\son\w+\s*=|<script(?![^>]*\ssrc=)|<style|javascript:"
