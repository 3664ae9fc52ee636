"""The home page in its three variants: with both services, and where one is slow or down."""

from __future__ import annotations

from aiohttp.test_utils import TestServer
from aiohttp.web import Application, Request, Response
from django.http import HttpResponse
from django.test import SimpleTestCase, override_settings

from demo.services.behaviour import Behaviour
from demo.services.running import services

VARIANTS = ["/", "/sync/", "/serial/"]
FAR_TOO_SLOW = Behaviour(delay=5000)
FAILING = Behaviour(delay=0, failures=100)


class VariantTests(SimpleTestCase):
    async def page(self, address: str) -> HttpResponse:
        response: HttpResponse = await self.async_client.get(address)
        assert response.status_code == 200
        return response

    async def test_each_variant_shows_all_that_the_services_know(self) -> None:
        async with services():
            for address in VARIANTS:
                with self.subTest(address):
                    page = await self.page(address)
                    for text in ("Two courses for one", "Read aloud", "Silas Marner"):
                        self.assertContains(page, text)
                    self.assertNotContains(page, "Something is missing")

    async def test_each_variant_shows_a_bar_for_each_question(self) -> None:
        async with services():
            for address in VARIANTS:
                with self.subTest(address):
                    page = await self.page(address)
                    self.assertContains(page, 'class="bar"', 4)
                    self.assertContains(page, "of 1,000 ms")

    async def test_the_variant_that_is_shown_is_marked(self) -> None:
        titles = ["Gathered", "Synchronous", "Awaited one by one"]
        async with services():
            for address, title in zip(VARIANTS, titles, strict=True):
                with self.subTest(address):
                    page = await self.page(address)
                    self.assertContains(page, f'aria-current="page">{title}</a>')

    async def test_the_gathered_questions_run_at_the_same_time_and_the_others_do_not(self) -> None:
        async with services(promotions=Behaviour(20), recommendations=Behaviour(20)):
            for address in VARIANTS:
                with self.subTest(address):
                    answers = (await self.page(address)).context["page"].answers
                    overlap = answers[1].began < answers[0].ended
                    assert overlap == (address == "/")

    async def test_a_failing_service_is_named_and_the_other_is_shown(self) -> None:
        async with services(recommendations=FAILING):
            for address in VARIANTS:
                with self.subTest(address):
                    page = await self.page(address)
                    self.assertContains(page, "Two courses for one")
                    self.assertContains(page, "Something is missing")
                    self.assertContains(page, "2 of 4 answers are missing")
                    self.assertContains(
                        page,
                        "For you: the service “recommendations” answered 503 Service Unavailable.",
                    )

    async def test_a_service_that_is_gone_is_named_and_the_other_is_shown(self) -> None:
        async with services() as servers:
            await servers["promotions"].close()
            for address in VARIANTS:
                with self.subTest(address):
                    page = await self.page(address)
                    self.assertContains(page, "Silas Marner")
                    self.assertContains(page, "Offers: the service “promotions” cannot be reached.")

    @override_settings(HOME_DEADLINE=0.5)
    async def test_a_slow_service_does_not_hold_up_what_is_gathered(self) -> None:
        async with services(promotions=FAR_TOO_SLOW):
            page = await self.page("/")
            self.assertContains(page, "Silas Marner")
            self.assertContains(page, "Offers: the service “promotions” did not answer in time.")
            assert page.context["page"].took < FAR_TOO_SLOW.delay / 1000

    @override_settings(HOME_DEADLINE=0.5)
    async def test_where_one_waits_for_the_other_a_slow_service_costs_the_rest(self) -> None:
        async with services(promotions=FAR_TOO_SLOW):
            for address in ("/sync/", "/serial/"):
                with self.subTest(address):
                    page = await self.page(address)
                    self.assertContains(page, "“promotions” did not answer in time.")
                    self.assertContains(page, "Popular now: the service “recommendations” was not")
                    assert page.context["page"].took < FAR_TOO_SLOW.delay / 1000

    async def test_an_answer_that_cannot_be_read_is_named(self) -> None:
        for body in ("<html>", "[]", '{"items": [1]}', '{"items": null}', "\udcff"):
            async with answering(body.encode(errors="surrogateescape")) as server:
                address = str(server.make_url("")).rstrip("/")
                with override_settings(SERVICES=dict.fromkeys(SERVICES, address)):
                    for variant in VARIANTS:
                        with self.subTest(body=body, variant=variant):
                            page = await self.page(variant)
                            self.assertContains(page, "sent something that cannot be read", 4)


SERVICES = ["promotions", "recommendations"]


def answering(body: bytes) -> TestServer:
    async def answer(request: Request) -> Response:
        return Response(body=body, content_type="application/json")

    service = Application()
    service.router.add_get("/{rest:.*}", answer)
    return TestServer(service)
