"""Async views that call synchronous code `CALLS` times, by each adapter; each call waits."""

from __future__ import annotations

import asyncio
import time

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse

from django_loom import await_, run_sync

CALLS = 10


async def sensitive(request: HttpRequest, milliseconds: int) -> HttpResponse:
    for _ in range(CALLS):
        await sync_to_async(time.sleep)(milliseconds / 1000 / CALLS)
    return HttpResponse("ok")


async def not_sensitive(request: HttpRequest, milliseconds: int) -> HttpResponse:
    for _ in range(CALLS):
        await sync_to_async(time.sleep, thread_sensitive=False)(milliseconds / 1000 / CALLS)
    return HttpResponse("ok")


async def bridge(request: HttpRequest, milliseconds: int) -> HttpResponse:
    for _ in range(CALLS):
        await run_sync(wait_on_the_loop, milliseconds / 1000 / CALLS)
    return HttpResponse("ok")


def wait_on_the_loop(seconds: float) -> None:
    await_(asyncio.sleep(seconds))
