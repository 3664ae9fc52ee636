"""The navigation and the cards of the six areas."""

from __future__ import annotations

from django.test import SimpleTestCase, TestCase
from django.urls import resolve

from demo.home.areas import AREAS
from demo.services.running import services


class AreaTests(SimpleTestCase):
    def test_each_area_is_an_address_of_the_site(self) -> None:
        assert len(AREAS) == 6
        for area in AREAS:
            with self.subTest(area.name):
                assert resolve(area.href)

    async def test_the_home_page_leads_to_each(self) -> None:
        async with services():
            page = await self.async_client.get("/")
        for area in AREAS:
            with self.subTest(area.name):
                self.assertContains(page, area.summary)
                self.assertContains(page, f'href="{area.href}"')

    async def test_the_area_of_the_page_is_marked(self) -> None:
        async with services():
            for address in ("/", "/sync/", "/services/"):
                with self.subTest(address):
                    page = await self.async_client.get(address)
                    self.assertContains(page, 'href="/" aria-current="page"')


class LoginTests(TestCase):
    def test_the_accounts_are_told(self) -> None:
        page = self.client.get("/accounts/login/")
        for text in ("ann", "bob", "admin", "loom-demo"):
            self.assertContains(page, f"<code>{text}</code>")

    def test_who_cannot_log_in_is_told(self) -> None:
        page = self.client.post("/accounts/login/", {"username": "eve", "password": "x"})
        self.assertContains(page, "Please enter a correct username and password")
        self.assertContains(page, 'value="eve"')

    def test_a_page_that_is_not_there_looks_like_the_others(self) -> None:
        page = self.client.get("/nothing/")
        self.assertContains(page, "There is nothing here", status_code=404)
        self.assertContains(page, 'aria-label="Areas"', status_code=404)
