"""The pages of Under the hood, as a browser gets them."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from aiohttp import web
from asgiref.testing import ApplicationCommunicator
from django.test import AsyncClient, AsyncRequestFactory, SimpleTestCase, TestCase
from django.urls import reverse

from demo.project.asgi import application
from demo.under_the_hood import load, views
from demo.under_the_hood.load import Runner
from demo.under_the_hood.recorder import HISTORIES
from demo.under_the_hood.work import WAITS

from .test_load import serving

INDEX = reverse("under_the_hood:index")
LOAD = reverse("under_the_hood:load")


class PageTests(TestCase):
    """The page, and the record of one request."""

    def setUp(self) -> None:
        HISTORIES["requests"].clear()

    async def test_the_page_lists_requests_but_not_itself(self) -> None:
        await self.async_client.get(INDEX)
        await self.async_client.get("/accounts/login/?next=/secret/")
        response = await self.async_client.get(reverse("under_the_hood:recent"))
        self.assertContains(response, "/accounts/login/")
        self.assertNotContains(response, "secret")
        assert [each.path for each in HISTORIES["requests"].newest_first()] == ["/accounts/login/"]

    async def test_the_page_has_its_parts_and_nothing_inline(self) -> None:
        response = await self.async_client.get(INDEX)
        for heading in ["Five queries", "200 requests at a view", "The pool of connections"]:
            self.assertContains(response, heading)
        for inline in ["style=", "onclick=", "<style", "<script>"]:
            self.assertNotContains(response, inline)
        assert "default-src 'self'" in response.headers["Content-Security-Policy"]

    async def test_a_path_is_escaped(self) -> None:
        await self.async_client.get("/<b>no")
        response = await self.async_client.get(INDEX)
        self.assertContains(response, "/&lt;b&gt;no")

    async def test_queries_lead_to_their_record(self) -> None:
        for how in ["one-by-one", "gathered"]:
            response = await self.async_client.post(reverse("under_the_hood:queries"), {"how": how})
            (record, *_) = HISTORIES["requests"].newest_first()
            assert record.queries == 5
            page = reverse("under_the_hood:request", args=[record.number])
            self.assertRedirects(response, page, fetch_redirect_response=False)
            self.assertContains(await self.async_client.get(page), "<rect", 2 * 6)

    async def test_a_record_that_is_gone(self) -> None:
        response = await self.async_client.get(reverse("under_the_hood:request", args=[10**9]))
        assert response.status_code == 404


class LoadTests(SimpleTestCase):
    """The button that sends requests."""

    async def send(self, origin: str, **headers: str) -> Any:
        with (
            patch.object(views, "_origin", return_value=origin),
            patch.multiple(load, REQUESTS=4, AT_ONCE=2),
            patch.object(views, "runner", Runner()),
        ):
            return await AsyncClient().post(LOAD, headers=headers)

    async def test_it_draws_a_panel_for_each_view(self) -> None:
        async def answer(request: web.BaseRequest) -> web.Response:
            assert request.headers["Host"] == "localhost"
            return web.Response()

        async with serving(answer) as origin:
            response = await self.send(origin, hx_request="true")
        self.assertContains(response, "<path", 3)
        self.assertContains(response, "The gathered view gave")
        self.assertNotContains(response, "<html")

    async def test_without_scripts_it_leads_back_to_the_page(self) -> None:
        async def answer(request: web.BaseRequest) -> web.Response:
            return web.Response()

        async with serving(answer) as origin:
            response = await self.send(origin)
        self.assertRedirects(response, INDEX + "#load", fetch_redirect_response=False)

    async def test_a_second_run_is_told_to_wait(self) -> None:
        runner = Runner()
        runner.is_running = True
        with patch.object(views, "runner", runner):
            for headers in [{}, {"hx_request": "true"}]:
                response = await AsyncClient().post(LOAD, headers=headers)
                self.assertContains(response, "Another run is under way")

    async def test_without_a_port_it_says_so(self) -> None:
        with patch.object(views, "_origin", return_value=None):
            response = await AsyncClient().post(LOAD)
        self.assertContains(response, "listens on a TCP port")

    def test_the_address_is_the_servers_whatever_the_client_claims(self) -> None:
        for server, origin in [
            (("127.0.0.1", 8000), "http://127.0.0.1:8000"),
            (("::1", 8000), "http://[::1]:8000"),
            (("/a/socket", None), None),
            (None, None),
        ]:
            request = AsyncRequestFactory().post(LOAD, headers={"host": "localhost:22"})
            request.scope["server"] = server
            assert views._origin(request) == origin

    async def test_the_token_is_needed(self) -> None:
        with self.assertLogs("django.security.csrf"):
            response = await AsyncClient(enforce_csrf_checks=True).post(LOAD)
        assert response.status_code == 403


class WorkTests(SimpleTestCase):
    """The three views, under django-loom's handler."""

    async def test_only_the_sync_view_needs_a_thread(self) -> None:
        hops = {}
        for name in ["sync", "serial", "gathered"]:
            HISTORIES["load"].clear()
            body = await body_of(reverse(f"under_the_hood:{name}"))
            assert body.startswith(f"{WAITS} waits".encode())
            (record,) = HISTORIES["load"].newest_first()
            hops[name] = record.hops
        assert hops == {"sync": 1, "serial": 0, "gathered": 0}


async def body_of(path: str) -> bytes:
    """What the site's own application answers with 200."""
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
    }
    communicator = ApplicationCommunicator(application, scope)
    await communicator.send_input({"type": "http.request"})
    start = await communicator.receive_output()
    assert start["status"] == 200
    body = await communicator.receive_output()
    await communicator.wait()
    content: bytes = body["body"]
    return content
