"""A service: its parts, its delay and failures, and what it refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from django.test import SimpleTestCase

from demo.services.application import application
from demo.services.contents import CONTENTS


@asynccontextmanager
async def service() -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(application(CONTENTS["promotions"]))) as client:
        await client.put("/behaviour", json={"delay": 0})
        yield client


class ApplicationTests(SimpleTestCase):
    async def test_a_part_has_its_items(self) -> None:
        async with service() as client:
            answer = await client.get("/parts/offers")
            assert await answer.json() == {"items": CONTENTS["promotions"]["offers"]}

    async def test_a_part_that_is_not_known_is_not_found(self) -> None:
        async with service() as client:
            answer = await client.get("/parts/nothing")
            assert answer.status == 404
            assert "known: offers, events" in (await answer.json())["problem"]

    async def test_each_answer_fails_when_that_is_set(self) -> None:
        async with service() as client:
            await client.put("/behaviour", json={"delay": 0, "failures": 100})
            assert (await client.get("/parts/offers")).status == 503

    async def test_what_is_set_can_be_read(self) -> None:
        async with service() as client:
            await client.put("/behaviour", json={"delay": 7, "failures": 50})
            answer = await client.get("/behaviour")
            assert await answer.json() == {"delay": 7, "failures": 50}

    async def test_what_is_no_behaviour_is_refused_and_changes_nothing(self) -> None:
        wrong: list[Any] = [[], {"dely": 1}, {"delay": -1}, {"delay": 5001}, {"delay": True}]
        async with service() as client:
            for data in [*wrong, {"failures": 101}, {"failures": "1"}]:
                with self.subTest(data):
                    assert (await client.put("/behaviour", json=data)).status == 400
            assert (await client.put("/behaviour", data=b"{")).status == 400
            answer = await client.get("/behaviour")
            assert await answer.json() == {"delay": 0, "failures": 0}
