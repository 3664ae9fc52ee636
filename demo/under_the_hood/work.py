"""Views that do nothing but wait: the same five waits, in three ways.

They wait with a timer, not for a service or a database: whatever serves those would take
its share of this machine's processor, and the picture would show that. With shorter waits it
would show little else: one process both sends these requests and answers them.
"""

from __future__ import annotations

import asyncio
import time

from django.http import HttpRequest, HttpResponse

import django_loom

from .recorder import recorded_in

WAITS = 5
MILLISECONDS = 50
WAIT_SECONDS = MILLISECONDS / 1000


@recorded_in("load")
@django_loom.in_thread
def sync(request: HttpRequest) -> HttpResponse:
    """Wait as blocking code does: in a thread of its own, for it would stop the loop."""
    for _ in range(WAITS):
        time.sleep(WAIT_SECONDS)
    return _answer()


@recorded_in("load")
async def serial(request: HttpRequest) -> HttpResponse:
    """Wait on the loop, for one thing after the other."""
    for _ in range(WAITS):
        await asyncio.sleep(WAIT_SECONDS)
    return _answer()


@recorded_in("load")
async def gathered(request: HttpRequest) -> HttpResponse:
    """Wait on the loop, for all at the same time."""
    await asyncio.gather(*(asyncio.sleep(WAIT_SECONDS) for _ in range(WAITS)))
    return _answer()


def _answer() -> HttpResponse:
    return HttpResponse(f"{WAITS} waits of {MILLISECONDS} ms\n", content_type="text/plain")
