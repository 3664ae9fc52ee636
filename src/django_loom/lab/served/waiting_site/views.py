"""One wait, as an async view and as a sync view would do it for another service."""

from __future__ import annotations

import asyncio
import time

from django.http import HttpRequest, HttpResponse


async def wait(request: HttpRequest, milliseconds: int) -> HttpResponse:
    await asyncio.sleep(milliseconds / 1000)
    return HttpResponse("ok")


def block(request: HttpRequest, milliseconds: int) -> HttpResponse:
    time.sleep(milliseconds / 1000)
    return HttpResponse("ok")
