"""The first page, three times: each view asks the services in another way."""

from __future__ import annotations

import asyncio

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from demo.project.clients import client, sync_client

from .answers import PARTS, Budget
from .asking import ask, ask_sync
from .pages import GATHERED, SERIAL, SYNC, VARIANTS, Page, page


def sync(request: HttpRequest) -> HttpResponse:
    """Ask one after the other in synchronous code; the view runs in a thread."""
    budget = Budget()
    with sync_client(request) as http:
        answers = [ask_sync(http, part, budget) for part in PARTS]
    return _show(request, page(SYNC, answers, budget))


async def serial(request: HttpRequest) -> HttpResponse:
    """Await one answer after the other: no thread, and no faster."""
    budget = Budget()
    async with client(request) as http:
        answers = [await ask(http, part, budget) for part in PARTS]
    return _show(request, page(SERIAL, answers, budget))


async def gathered(request: HttpRequest) -> HttpResponse:
    """Ask for everything at once."""
    budget = Budget()
    async with client(request) as http:
        answers = await asyncio.gather(*(ask(http, part, budget) for part in PARTS))
    return _show(request, page(GATHERED, answers, budget))


def _show(request: HttpRequest, shown: Page) -> HttpResponse:
    return TemplateResponse(request, "home/index.html", {"page": shown, "variants": VARIANTS})
