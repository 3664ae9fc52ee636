"""The test client: requests through the real application, in Django's test cases."""

from __future__ import annotations

import asyncio
import gc
import json
import unittest
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from django.test import TestCase, TransactionTestCase, override_settings

from django_loom import run_sync
from django_loom.testing import AsyncClient
from tests.db.support import in_use, without_pool
from tests.loops import LoopRunner
from tests.polling import aeventually
from tests.testapp.models import Author
from tests.testing import urls

pytestmark = pytest.mark.usefixtures("db_tables")
TEMPLATES = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "OPTIONS": {
        "loaders": [("django.template.loaders.locmem.Loader", {"page.html": "{{ names }}"})]
    },
}
Settings = Callable[[], AbstractContextManager[None]]
SOURCE = Path(urls.__file__).read_bytes()
site = override_settings(
    ROOT_URLCONF="tests.testing.urls", TEMPLATES=[TEMPLATES], LOGIN_URL="/login/"
)


class Requests:
    """What holds in each kind of test case."""

    async_client_class = AsyncClient

    async def add_two(self: Any) -> None:
        self.tasks = len(asyncio.all_tasks())
        await Author.objects.acreate(name="Ann")
        await Author.objects.acreate(name="Ben")

    async def test_each_kind_of_view_sees_and_writes_rows(self: Any) -> None:
        await self.add_two()
        for number, place in enumerate(["on_loop", "in_thread", "in_coroutine"]):
            response = await self.async_client.get(f"/{place}/")
            assert response.status_code == 200
            assert response.json() == {"count": 3 + number, "in_thread": place == "in_thread"}
        assert await Author.objects.acount() == 5

    async def test_gathered_requests(self: Any) -> None:
        await self.add_two()
        responses = await asyncio.gather(*(self.async_client.get("/page/") for _ in range(4)))
        assert {each.content for each in responses} == {b"[&#x27;Ann&#x27;, &#x27;Ben&#x27;]"}

    async def test_the_response_is_that_of_djangos_client(self: Any) -> None:
        await self.add_two()
        response = await self.async_client.get("/page/", headers={"accept": "text/html"})
        assert response.context["names"] == ["Ann", "Ben"]
        assert [each.name for each in response.templates] == ["page.html"]
        assert response.resolver_match.func is urls.page
        assert response.asgi_request.headers["accept"] == "text/html"
        assert (await self.async_client.head("/page/")).content == b""
        assert (await self.async_client.get("/none/")).status_code == 404

    async def test_bodies_cookies_and_csrf(self: Any) -> None:
        response = await self.async_client.post("/echo/", {"name": "a form"})
        assert response.content == b"a form"
        assert self.async_client.cookies["seen"].value == "yes"
        response = await self.async_client.put("/echo/", {"a": 1}, "application/json")
        assert json.loads(response.content) == {"a": 1}
        assert response.asgi_request.COOKIES == {"seen": "yes"}
        strict = AsyncClient(enforce_csrf_checks=True)
        assert (await strict.post("/echo/", {"name": "x"})).status_code == 403

    async def test_login(self: Any) -> None:
        response = await self.async_client.get("/account/")
        assert (response.status_code, response.url) == (302, "/login/?next=/account/")
        user = await User.objects.acreate_user("ann")
        await self.async_client.aforce_login(user)
        assert (await self.async_client.get("/account/")).content == b"ann"
        await self.async_client.alogout()
        assert (await self.async_client.get("/account/")).status_code == 302

    async def test_exceptions_of_views(self: Any) -> None:
        with pytest.raises(ZeroDivisionError, match="of the view"):
            await self.async_client.get("/fails/")
        quiet = AsyncClient(raise_request_exception=False)
        response = await quiet.get("/fails/")
        assert (response.status_code, response.exc_info[0]) == (500, ZeroDivisionError)

    async def test_streams(self: Any) -> None:
        await self.add_two()
        for place in ["on_loop", "in_thread"]:
            response = await self.async_client.get(f"/stream_{place}/")
            # Parts that are there at once may come in one.
            assert b"".join([part async for part in response]) == b"AnnBen"
        assert urls.closed == ["sync", "sync"]
        response = await self.async_client.get("/file/")
        assert b"".join([part async for part in response]) == SOURCE
        response = await self.async_client.get("/file/", headers={"range": "bytes=0-2"})
        assert (response.status_code, [part async for part in response]) == (206, [b'"""'])

    async def test_a_stream_that_is_left_ends(self: Any) -> None:
        response = await self.async_client.get("/endless/")
        parts = aiter(response.streaming_content)
        assert await anext(parts) == b"0"
        await Author.objects.acreate(name="of the test")
        assert [await anext(parts), await anext(parts)][1] == b"1"
        assert urls.closed == []
        await response.leave()
        assert urls.closed == ["async"]
        with pytest.raises(StopAsyncIteration):
            await anext(parts)

    async def test_an_error_of_a_stream_reaches_who_reads_it(self: Any) -> None:
        response = await self.async_client.get("/breaks/")
        parts = aiter(response)
        assert await anext(parts) == b"one"
        with pytest.raises(ZeroDivisionError, match="of the stream"):
            await anext(parts)

    async def test_a_stream_that_is_not_read_ends_with_its_response(self: Any) -> None:
        await self.add_two()
        response = await self.async_client.get("/waits/")
        await aeventually(lambda: urls.counted)
        del response
        gc.collect()
        await aeventually(lambda: len(asyncio.all_tasks()) == self.tasks)
        assert urls.closed == ["async"]
        assert await Author.objects.acount() == 2


@site
class InTransaction(Requests, TestCase):
    __test__ = False

    def setUp(self) -> None:
        urls.closed.clear()
        urls.counted.clear()
        assert Author.objects.count() == 0  # what requests have written went with their test


@site
class WithoutTransaction(Requests, TransactionTestCase):
    __test__ = False

    def setUp(self) -> None:
        urls.closed.clear()
        urls.counted.clear()


def run(case: type[unittest.TestCase]) -> None:
    result = unittest.TestResult()
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(case)
    suite.run(result)
    problems = [f"{test}\n{trace}" for test, trace in result.errors + result.failures]
    assert not problems, "\n".join(problems)
    assert result.testsRun == 10


@pytest.mark.parametrize("case", [InTransaction, WithoutTransaction])
@pytest.mark.parametrize("on_loop", [False, True])
@pytest.mark.parametrize("settings", [nullcontext, without_pool])
def test_in_djangos_test_cases(case: Any, on_loop: bool, settings: Settings) -> None:
    with settings():
        if on_loop:
            asyncio.run(run_sync(run, case))
        else:
            run(case)
        assert Author.objects.count() == 0
        connections.close_all()


@site
def test_in_plain_async_code(loop_runner: LoopRunner) -> None:
    """As with a plugin of pytest's; each request is a unit of its own."""

    async def main() -> None:
        client = AsyncClient()
        responses = [await client.get(f"/{name}/") for name in ("on_loop", "in_thread")]
        assert [each.json()["count"] for each in responses] == [1, 2]
        await aeventually(lambda: in_use() == 0)

    loop_runner(main)


@site
def test_a_request_that_is_cancelled_leaves_nothing(loop_runner: LoopRunner) -> None:
    async def main() -> None:
        request = asyncio.create_task(AsyncClient().get("/in_coroutine/"))
        await asyncio.sleep(0)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await aeventually(lambda: in_use() == 0)
        assert len(asyncio.all_tasks()) == 1

    loop_runner(main)
