"""Static files, which may change while the site runs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest.mock import patch

from django.http import HttpRequest, HttpResponse
from django.test import AsyncRequestFactory, SimpleTestCase

from demo.project.static_files import StaticFiles


class StaticFilesTests(SimpleTestCase):
    def test_a_file_that_changes_is_sent_whole(self) -> None:
        with tempfile.TemporaryDirectory() as folder, self.settings(STATICFILES_DIRS=[folder]):
            file = Path(folder, "page.css")
            for content in ("short", "much longer than before", ""):
                file.write_text(content)
                response = self.client.get("/static/page.css")
                assert response.headers["Content-Length"] == str(len(content))
                assert b"".join(response).decode() == content

    async def test_what_is_not_there_has_the_sites_own_page(self) -> None:
        for path in ("nothing.css", "../project/settings.py", "%2e%2e/project/settings.py"):
            with self.subTest(path):
                response = await self.async_client.get(f"/static/{path}")
                self.assertContains(response, "There is nothing here", status_code=404)

    async def test_other_addresses_are_not_looked_for(self) -> None:
        async def page(request: HttpRequest) -> HttpResponse:
            return HttpResponse("a page")

        with patch.object(StaticFiles, "find_file", side_effect=AssertionError):
            response = await StaticFiles(page)(AsyncRequestFactory().get("/books/"))
        assert response.content == b"a page"
