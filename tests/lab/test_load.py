"""Loads against servers that answer well, badly, late, or not at all."""

from __future__ import annotations

import asyncio
import socket
from contextlib import nullcontext
from typing import Any

import pytest

from django_loom.lab import LoadPlan, LoadResult, generate
from django_loom.lab.exceptions import PlanError
from django_loom.lab.load import load as load_module
from tests.lab.scripted import OK, UNAVAILABLE, Script, Scripted, answers, scripted
from tests.lab.virtual_time import VirtualTime, virtual_time
from tests.loops import LoopRunner
from tests.polling import aeventually

__all__ = ["virtual_time"]


def load(
    loop_runner: LoopRunner, script: Script, time: VirtualTime | None = None, **changes: Any
) -> tuple[LoadResult, Scripted]:
    """The result of a load of 20 requests from 4 clients, unless changed, and its server."""

    async def main() -> tuple[LoadResult, Scripted]:
        passing = time.passing() if time else nullcontext()
        async with passing, scripted(script) as server:
            plan = {"clients": 4, "requests": 20, "warmup": 0.0, **changes}
            return await generate(LoadPlan(url=server.url, **plan)), server

    found: tuple[LoadResult, Scripted] = loop_runner(main)
    return found


def test_exactly_the_requests_of_the_plan_are_sent(loop_runner: LoopRunner) -> None:
    result, server = load(loop_runner, answers(OK))
    assert len(server.requests) == 20
    assert server.connections == 4
    assert result.statuses == {200: 20}
    assert result.requests == 20
    assert result.bytes == 20 * len(OK)
    assert result.failures == 0
    assert result.requests_per_second == pytest.approx(20 / result.seconds)
    assert result.latency is not None


def test_connections_are_open_before_the_first_request(loop_runner: LoopRunner) -> None:
    seen: list[int] = []

    async def script(number: int, writer: asyncio.StreamWriter) -> bool:
        seen.append(server_of["it"].connections)
        writer.write(OK)
        return True

    server_of: dict[str, Scripted] = {}

    async def main() -> LoadResult:
        async with scripted(script) as server:
            server_of["it"] = server
            return await generate(LoadPlan(url=server.url, clients=4, requests=20, warmup=0))

    assert loop_runner(main).requests == 20
    assert set(seen) == {4}


def test_a_server_that_takes_one_connection_at_a_time_is_no_dead_end(
    loop_runner: LoopRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a sync worker does: it closes after each answer, and accepts the next then only.
    monkeypatch.setattr(load_module, "CONNECTING_SECONDS", 0.05)

    async def main() -> LoadResult:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            listener.setblocking(False)
            serving = asyncio.create_task(serve_one_by_one(listener))
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            try:
                return await generate(LoadPlan(url=url, clients=3, requests=6, warmup=0))
            finally:
                serving.cancel()

    assert loop_runner(main).statuses == {200: 6}


LAST = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


async def serve_one_by_one(listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        connection, _ = await loop.sock_accept(listener)
        with connection:
            await loop.sock_recv(connection, 65536)
            await loop.sock_sendall(connection, LAST)


def test_without_keep_alive_each_request_has_its_connection(loop_runner: LoopRunner) -> None:
    result, server = load(loop_runner, answers(OK), keep_alive=False)
    assert server.connections == 20
    assert b"Connection: close" in server.requests[0]
    assert result.statuses == {200: 20}


def test_the_warm_up_is_in_no_figure(loop_runner: LoopRunner, virtual_time: VirtualTime) -> None:
    result, server = load(loop_runner, answers(OK), virtual_time, warmup=0.05)
    assert result.statuses == {200: 20}
    assert result.bytes == 20 * len(OK)
    assert len(server.requests) > 20


def test_a_window_of_seconds_is_part_of_a_load(
    loop_runner: LoopRunner, virtual_time: VirtualTime
) -> None:
    result, server = load(
        loop_runner, answers(OK), virtual_time, requests=None, seconds=0.1, warmup=0.05
    )
    assert result.seconds == 0.1
    assert 0 < result.requests < len(server.requests)
    assert result.failures == 0


def test_requests_sent_in_a_window_are_waited_for(
    loop_runner: LoopRunner, virtual_time: VirtualTime
) -> None:
    async def slow(number: int, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.2)
        writer.write(OK)
        return True

    result, _ = load(loop_runner, slow, virtual_time, requests=None, seconds=0.3, warmup=0.02)
    assert result.latency is not None
    assert result.latency.p50 >= 199
    assert result.failures == 0


def test_the_first_limit_ends_a_load(loop_runner: LoopRunner) -> None:
    result, _ = load(loop_runner, answers(OK), requests=5, seconds=60.0)
    assert result.requests == 5


def test_after_the_last_request_all_are_waited_for(
    loop_runner: LoopRunner, virtual_time: VirtualTime
) -> None:
    async def slow(number: int, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.2)
        writer.write(OK)
        return True

    result, _ = load(loop_runner, slow, virtual_time, requests=100, seconds=0.1)
    assert result.requests == 4
    assert result.seconds >= 0.2


def test_an_open_load_sends_as_its_clock_says(
    loop_runner: LoopRunner, virtual_time: VirtualTime
) -> None:
    result, _ = load(loop_runner, answers(OK), virtual_time, rate=200.0, warmup=0.05)
    assert result.requests + result.errors.get("unsent", 0) == 20
    assert result.seconds >= 0.1


def test_a_stall_shows_in_the_latencies_of_what_it_held_up(
    loop_runner: LoopRunner, virtual_time: VirtualTime
) -> None:
    async def stall_once(number: int, writer: asyncio.StreamWriter) -> bool:
        if number == 0:
            await asyncio.sleep(0.2)
        writer.write(OK)
        return True

    result, _ = load(loop_runner, stall_once, virtual_time, clients=1, requests=50, rate=200.0)
    assert result.latency is not None
    assert result.latency.p90 >= 99  # 20 of the 50 were due in its first half


def test_what_an_open_load_cannot_send_is_counted(
    loop_runner: LoopRunner, virtual_time: VirtualTime
) -> None:
    async def stall(number: int, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.3)
        writer.write(OK)
        return True

    result, server = load(loop_runner, stall, virtual_time, clients=2, requests=20, rate=200.0)
    assert len(server.requests) == 2
    assert result.statuses == {200: 2}
    assert result.errors == {"unsent": 18}
    assert result.failures == 18


def test_other_statuses_are_no_requests_and_have_no_latency(loop_runner: LoopRunner) -> None:
    result, _ = load(loop_runner, answers(OK, UNAVAILABLE))
    assert result.statuses == {200: 10, 503: 10}
    assert result.requests == 10
    assert result.failures == 10
    assert result.requests_per_second == pytest.approx(10 / result.seconds)


def test_errors_only_give_no_latency(loop_runner: LoopRunner) -> None:
    result, _ = load(loop_runner, answers(UNAVAILABLE))
    assert result.statuses == {503: 20}
    assert result.latency is None
    assert result.requests_per_second == 0


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart", "closed"),
        (b"SMTP ready\r\n\r\n", "malformed"),
        (OK + b"more", "malformed"),
    ],
)
def test_a_bad_answer_is_an_error_and_the_load_goes_on(
    loop_runner: LoopRunner, sent: bytes, kind: str
) -> None:
    async def script(number: int, writer: asyncio.StreamWriter) -> bool:
        if number % 5 == 0:
            writer.write(sent)
            return False
        writer.write(OK)
        return True

    result, _ = load(loop_runner, script)
    assert result.statuses == {200: 16}
    assert result.errors == {kind: 4}


def test_a_connection_that_is_reset_is_an_error(loop_runner: LoopRunner) -> None:
    async def script(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.transport.abort() if number == 0 else writer.write(OK)
        return True

    result, _ = load(loop_runner, script)
    assert result.statuses == {200: 19}
    assert sum(result.errors.get(kind, 0) for kind in ("closed", "reset")) == 1


def test_a_late_answer_is_a_timeout(loop_runner: LoopRunner, virtual_time: VirtualTime) -> None:
    async def never(number: int, writer: asyncio.StreamWriter) -> bool:
        if number % 5:
            writer.write(OK)
        return True

    result, _ = load(loop_runner, never, virtual_time, timeout=0.1)
    assert result.statuses == {200: 16}
    assert result.errors == {"timeout": 4}


def test_a_server_that_closes_after_each_answer_is_met_again(loop_runner: LoopRunner) -> None:
    async def script(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        return False

    result, server = load(loop_runner, script)
    assert result.statuses == {200: 20}
    assert server.connections == 20


def test_no_server_is_an_error_of_each_request(loop_runner: LoopRunner) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    plan = LoadPlan(url=f"http://127.0.0.1:{port}/", clients=2, requests=4, warmup=0)
    result = loop_runner(generate, plan)
    assert result.errors == {"refused": 4}
    assert result.requests_per_second == 0


def test_a_connection_that_is_never_accepted_is_a_timeout(loop_runner: LoopRunner) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        plan = LoadPlan(url=url, clients=3, requests=3, warmup=0, timeout=0.1)
        assert loop_runner(generate, plan).errors == {"timeout": 3}


def test_another_host_is_refused_before_anything_is_sent(loop_runner: LoopRunner) -> None:
    with pytest.raises(PlanError, match="not this machine"):
        loop_runner(generate, LoadPlan(url="http://192.0.2.1/", clients=1, requests=1))


def test_a_cancelled_load_leaves_nothing_open(loop_runner: LoopRunner) -> None:
    async def main() -> set[asyncio.Task[Any]]:
        started = asyncio.Event()

        async def script(number: int, writer: asyncio.StreamWriter) -> bool:
            started.set()
            return True

        async with scripted(script) as server:
            before = asyncio.all_tasks()
            plan = LoadPlan(url=server.url, clients=9, requests=9, warmup=0)
            running = asyncio.create_task(generate(plan))
            await started.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await aeventually(lambda: not server.open)
            return asyncio.all_tasks() - before

    assert not loop_runner(main)
