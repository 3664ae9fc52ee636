"""The load that the site sends to itself, and what is said and drawn of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from aiohttp import web
from django.test import SimpleTestCase

from demo.under_the_hood import load
from demo.under_the_hood.load import Busy, Load, Run, Runner, Sent
from demo.under_the_hood.pictures import HEIGHT, WIDTH, panels
from demo.under_the_hood.said import findings

Answer = Callable[[web.BaseRequest], Awaitable[web.Response]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """A server in place of the site; the block gets its address."""
    server = web.ServerRunner(web.Server(answer, handler_cancellation=True))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    try:
        yield site.name
    finally:
        await server.cleanup()


class RunnerTests(SimpleTestCase):
    """Sending."""

    async def test_every_request_is_sent_and_no_more_at_once_than_allowed(self) -> None:
        running, most, paths = 0, 0, []

        async def answer(request: web.BaseRequest) -> web.Response:
            nonlocal running, most
            paths.append(request.path)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return web.Response()

        with patch.multiple(load, REQUESTS=20, AT_ONCE=4):
            async with serving(answer) as origin:
                run = await Runner().run(origin, ["/a", "/b"])
        assert [each.path for each in run.loads] == ["/a", "/b"]
        assert [len(each.sent) for each in run.loads] == [20, 20]
        assert paths.count("/a") == 21  # one before, to warm up
        assert most <= 4
        assert [each.failures for each in run.loads] == [0, 0]

    async def test_a_bad_answer_and_none_are_failures(self) -> None:
        async def answer(request: web.BaseRequest) -> web.Response:
            if request.path == "/none":
                assert request.transport is not None
                request.transport.abort()
            return web.Response(status=503)

        with patch.multiple(load, REQUESTS=3, AT_ONCE=2):
            async with serving(answer) as origin:
                run = await Runner().run(origin, ["/bad", "/none"])
        assert [each.failures for each in run.loads] == [3, 3]
        assert run.loads[0].per_second == 0

    async def test_a_second_run_is_refused_and_a_cancelled_one_leaves_no_request(self) -> None:
        arrived, ended = asyncio.Event(), asyncio.Event()

        async def answer(request: web.BaseRequest) -> web.Response:
            arrived.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()  # the client's end cancels this
            return web.Response()

        runner = Runner()
        async with serving(answer) as origin:
            run = asyncio.create_task(runner.run(origin, ["/"]))
            await arrived.wait()
            with pytest.raises(Busy):
                await runner.run(origin, ["/"])
            run.cancel()
            await asyncio.wait([run])
            await ended.wait()
        assert run.cancelled()
        assert not runner.is_running
        assert runner.latest is None


def a_load(name: str, seconds: float, good: bool = True) -> Load:
    sent = [Sent(0, seconds / 2, good), Sent(seconds / 2, seconds, True)]
    return Load(name, sent, hops=0, threads=0)


class PictureTests(SimpleTestCase):
    """What is drawn and said."""

    def test_all_panels_have_the_scale_of_the_longest(self) -> None:
        run = Run(datetime.now(UTC), [a_load("/a", 4), a_load("/b", 1, good=False)])
        first, second = panels(run)
        assert first.good == f"M0 {HEIGHT / 4}H{WIDTH // 2}M{WIDTH // 2} {HEIGHT * 3 / 4}H{WIDTH}"
        assert second.good == f"M{WIDTH // 8} {HEIGHT * 3 / 4}H{WIDTH // 4}"
        assert second.bad == f"M0 {HEIGHT / 4}H{WIDTH // 8}"

    def test_the_ratios_are_those_of_the_figures(self) -> None:
        run = Run(datetime.now(UTC), [a_load("/a", 4), a_load("/b", 2), a_load("/c", 0.5)])
        gathered, serial, *_ = findings(run, threads=10)
        assert "8.0 times" in gathered
        assert "2.0 times" in serial

    def test_what_failed_is_said_and_never_divided_by(self) -> None:
        none = Load("/a", [Sent(0, 1, False)], hops=0, threads=0)
        said = findings(Run(datetime.now(UTC), [none, none, none]), threads=10)
        assert "can't be compared" in said[0]
        assert "3 requests got no good answer" in said[-1]
