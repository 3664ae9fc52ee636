"""The form that sets the services' delay and failures."""

from __future__ import annotations

from django.test import SimpleTestCase

from demo.services.application import STATE
from demo.services.behaviour import Behaviour
from demo.services.running import services

URL = "/services/"
VALUES = {
    "promotions-delay": "40",
    "promotions-failures": "10",
    "recommendations-delay": "0",
    "recommendations-failures": "100",
}
HTMX = {"HX-Request": "true"}


class ServicesTests(SimpleTestCase):
    async def test_it_shows_what_the_services_are_set_to(self) -> None:
        async with services(promotions=Behaviour(321, 12)):
            page = await self.async_client.get(URL)
        self.assertContains(page, 'value="321"')
        self.assertContains(page, 'value="12"')
        self.assertTemplateUsed(page, "base.html")

    async def test_it_is_a_part_of_the_home_page_too(self) -> None:
        async with services():
            page = await self.async_client.get(URL, headers=HTMX)
        self.assertContains(page, "<form")
        self.assertTemplateNotUsed(page, "base.html")
        assert "HX-Request" in page.headers["Vary"]

    async def test_it_sets_both_services(self) -> None:
        async with services() as servers:
            response = await self.async_client.post(URL, VALUES)
            self.assertRedirects(response, "/", fetch_redirect_response=False)
            behaviours = [server.app[STATE]["behaviour"] for server in servers.values()]
        assert behaviours == [Behaviour(40, 10), Behaviour(0, 100)]

    async def test_in_the_home_page_it_says_so_and_asks_for_the_page_again(self) -> None:
        async with services():
            response = await self.async_client.post(URL, VALUES, headers=HTMX)
        self.assertContains(response, "The services are set.")
        self.assertContains(response, 'value="40"')
        assert response.headers["HX-Trigger"] == "services-changed"

    async def test_a_preset_sets_both_services(self) -> None:
        async with services() as servers:
            await self.async_client.post(URL, {"preset": "down"}, headers=HTMX)
            behaviours = {name: each.app[STATE]["behaviour"] for name, each in servers.items()}
        assert behaviours["recommendations"].failures == 100
        assert behaviours["promotions"] == Behaviour()

    async def test_wrong_values_are_shown_with_their_errors_and_set_nothing(self) -> None:
        wrong = VALUES | {"promotions-delay": "5001", "recommendations-failures": "often"}
        async with services() as servers:
            response = await self.async_client.post(URL, wrong, headers=HTMX)
            behaviours = [server.app[STATE]["behaviour"] for server in servers.values()]
        self.assertContains(response, "less than or equal to 5000", status_code=422)
        self.assertContains(response, "Enter a whole number.", status_code=422)
        assert behaviours == [Behaviour(0), Behaviour(0)]

    async def test_a_service_that_is_gone_is_named(self) -> None:
        problem = "Promotions cannot be reached; its settings are not known."
        async with services() as servers:
            await servers["promotions"].close()
            self.assertContains(await self.async_client.get(URL), problem)
            response = await self.async_client.post(URL, VALUES, headers=HTMX)
            self.assertContains(response, problem)
            self.assertNotContains(response, "The services are set.")
            assert servers["recommendations"].app[STATE]["behaviour"].failures == 100
