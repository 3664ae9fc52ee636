"""Make a load on the running loop and measure what comes back."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Coroutine
from contextlib import asynccontextmanager, suppress
from time import perf_counter, process_time
from typing import NamedTuple

from django_loom.lab.load.clients import Crowd, park
from django_loom.lab.load.latencies import Latencies
from django_loom.lab.load.pacing import Closed, Schedule
from django_loom.lab.load.plan import LoadPlan, address, allow_open_files
from django_loom.lab.load.recorder import Recorder
from django_loom.lab.load.results import LoadResult

CONNECTS_AT_ONCE = 32  # a listen queue may be as short as 100
LAG_INTERVAL = 0.02  # seconds
CONNECTING_SECONDS = 1.0  # of all connections that are opened ahead


class Figures(NamedTuple):
    """The wall and CPU seconds of what was measured, and the 2xx answers of that time."""

    seconds: float
    cpu_seconds: float
    answers: int


async def generate(plan: LoadPlan) -> LoadResult:
    """Make the load on the running loop, whatever `processes` and `core` say.

    Raises `PlanError` if the plan's host is not allowed, or needs too many open files.
    """
    allow_open_files(plan.clients)
    crowd = Crowd(plan, await address(plan))
    lags = Latencies()
    try:
        async with background(crowd.end_late_requests()):
            if plan.rate is not None:
                figures = await open_model(plan, plan.rate, crowd, lags)
            elif plan.requests is not None:
                figures = await counted_requests(plan, plan.requests, crowd, lags)
            else:
                figures = await timed_window(plan, crowd, lags)
    finally:
        await crowd.close()
    return result(crowd.recorder, lags, figures)


async def timed_window(plan: LoadPlan, crowd: Crowd, lags: Latencies) -> Figures:
    """Measure a window in a load that goes on, with the clients out of step."""
    crowd.on_idle = Closed(plan.clients)
    await start_clients(crowd, plan, over=plan.warmup / 2)
    await asyncio.sleep(plan.warmup / 2)
    recorder, seconds = crowd.recorder, plan.window_seconds
    recorder.begin = perf_counter()
    recorder.end = recorder.begin + seconds
    cpu_seconds = await measured(asyncio.sleep(seconds), lags)
    await recorder.all_answered()
    return Figures(seconds, cpu_seconds, recorder.completed)


async def counted_requests(plan: LoadPlan, requests: int, crowd: Crowd, lags: Latencies) -> Figures:
    """Measure from the first request sent to the last answered, as ab does.

    Connections that are kept are opened before.

    Neither what a queue holds at the end nor a window's edge falsifies this rate, be it ever so
    short.
    """
    if plan.warmup:
        await let_send(crowd, plan, Closed(plan.clients, until=perf_counter() + plan.warmup))
    elif plan.keep_alive:
        await connect_ahead(crowd, plan)
    recorder = crowd.recorder
    recorder.begin = perf_counter()
    counted = Closed(plan.clients, requests, recorder.begin + plan.window_seconds)
    cpu_seconds = await measured(let_send(crowd, plan, counted), lags)
    return Figures(recorder.seconds, cpu_seconds, recorder.requests)


async def connect_ahead(crowd: Crowd, plan: LoadPlan) -> None:
    """Open the connections, so that this is no part of what is measured."""
    # Who is not connected by then is when it sends: a server that has one connection at a time
    # waits for the request of the first before it takes the next.
    crowd.on_idle = park
    with suppress(TimeoutError):
        async with asyncio.timeout(min(CONNECTING_SECONDS, plan.timeout)):
            await start_clients(crowd, plan)


async def let_send(crowd: Crowd, plan: LoadPlan, pacing: Closed) -> None:
    crowd.on_idle = pacing
    await start_clients(crowd, plan)
    await pacing.all_idle.wait()


async def open_model(plan: LoadPlan, rate: float, crowd: Crowd, lags: Latencies) -> Figures:
    """Measure requests that are due at even intervals, and their lateness with them."""
    await start_clients(crowd, plan)
    first = math.ceil(plan.warmup * rate)
    after_last = first + max(1, round(plan.window_seconds * rate))
    crowd.on_idle = schedule = Schedule(rate, perf_counter(), after_last)
    recorder = crowd.recorder
    recorder.begin = schedule.due(first)
    for client in crowd.clients:
        schedule(client)
    await schedule.run(until=recorder.begin)
    cpu_seconds = await measured(schedule.run(until=schedule.due(after_last)), lags)
    crowd.on_idle = park
    for due in schedule.unsent():
        recorder.count_sent(due)
        recorder.count_failure(due, "unsent")
    await recorder.all_answered()
    # The load takes its time even if the last answer came before the end.
    seconds = max(recorder.seconds, (after_last - first) / rate)
    return Figures(seconds, cpu_seconds, recorder.requests)


async def measured(window: Awaitable[None], lags: Latencies) -> float:
    """Wait for the end of the window; returns the CPU seconds that this process used."""
    cpu_seconds = process_time()
    async with background(sample_lag(lags)):
        await window
    return process_time() - cpu_seconds


async def start_clients(crowd: Crowd, plan: LoadPlan, over: float = 0.0) -> None:
    """Start each client, spread over so many seconds, a few connecting at once."""
    starting = iter(enumerate(crowd.clients))
    begin, interval = perf_counter(), over / plan.clients

    async def start_one_after_another() -> None:
        for index, client in starting:
            await asyncio.sleep(max(0.0, begin + index * interval - perf_counter()))
            if plan.keep_alive and not client.connected:
                # An error here is one of the first request too, which counts it.
                with suppress(OSError):
                    async with asyncio.timeout(plan.timeout):
                        await client.connect()
            crowd.on_idle(client)

    async with asyncio.TaskGroup() as starters:
        for _ in range(CONNECTS_AT_ONCE):
            starters.create_task(start_one_after_another())


async def sample_lag(lags: Latencies) -> None:
    """Record how late the loop wakes a task, until cancelled."""
    while True:
        asleep = perf_counter()
        await asyncio.sleep(LAG_INTERVAL)
        lags.record(perf_counter() - asleep - LAG_INTERVAL)


@asynccontextmanager
async def background(coroutine: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(coroutine)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def result(recorder: Recorder, lags: Latencies, figures: Figures) -> LoadResult:
    lag = lags.summary()
    return LoadResult(
        requests=recorder.requests,
        seconds=figures.seconds,
        requests_per_second=figures.answers / figures.seconds,
        latency=recorder.latencies.summary(),
        statuses=dict(recorder.statuses),
        errors=dict(recorder.errors),
        bytes=recorder.size,
        body_bytes=recorder.bodies_size,
        document_bytes=recorder.document_size,
        server=recorder.server,
        histogram=recorder.latencies.encoded(),
        cpu_seconds=figures.cpu_seconds,
        loop_lag_ms=lag.p99 if lag else 0.0,
        loop=type(asyncio.get_running_loop()).__module__.partition(".")[0],
    )
